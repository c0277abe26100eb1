//! Users who prove with a JSON Web Token who they are: `cargo run -p tidewire --example jwt` prints a token that is valid for
//! ten minutes.
//!
//! A page connects with `io({ auth: (send) => fetchToken().then((token) => send({ token })) })`. The client calls this
//! function for each attempt to connect, so it brings a fresh token when it reconnects. If the server refuses a token,
//! `err.data.code` in the page's handler of `connect_error` says why.
#![allow(clippy::print_stdout, reason = "the example prints a token to try it with")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::{Error as JwtError, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidewire::server::{
    Auth, ConnectError, Context, Data, Extension, Extract, HandlerError, HandlerKind, Reply, Server,
    ServerSide, Socket, State,
};
use tokio::time::Instant;

/// How long a token can be used on one connection, however late it expires.
const LONGEST_LOGIN: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // In your program, the secret comes from its configuration: all servers, and the one that signs, have the same.
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    println!("a token: {}", sign(&secret, "ann", Duration::from_secs(600))?);
    server(&secret)?.listen("127.0.0.1:3000").await?;
    Ok(())
}

/// What a token says. `exp` is the time at which it expires, in seconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
}

/// The part of the client's `auth` that concerns us. Without a token, the text is empty, and so not a valid token.
#[derive(Deserialize)]
struct Credentials {
    #[serde(default)]
    token: String,
}

/// The user of a socket, and how long the server knows it.
struct Login {
    claims: Claims,
    /// On the clock of Tokio. If somebody sets the clock of the machine, nobody stays longer.
    expires: Instant,
}

/// Handlers take the claims as a parameter.
impl<K: HandlerKind<Side = ServerSide>> Extract<K> for Claims {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        let Extension(login) = <Extension<Login> as Extract<K>>::extract(context)?;
        Ok(login.claims.clone())
    }
}

/// What the server checks tokens with.
struct Verifier {
    key: DecodingKey,
    validation: Validation,
}

impl Verifier {
    fn new(secret: &[u8]) -> Result<Self, JwtError> {
        // Only this algorithm: a token must not choose how it is checked. For the RS256 tokens of an identity provider, use
        // `DecodingKey::from_jwk`, and set the issuer and the audience of the validation.
        let mut validation = Validation::new(Algorithm::HS256);
        // The default accepts a token for a minute after it has expired. Then a client that was disconnected because its
        // token has expired could connect again with it at once.
        validation.leeway = 0;
        Ok(Self { key: DecodingKey::from_secret(secret)?, validation })
    }

    fn verify(&self, token: &str) -> Result<Login, JwtError> {
        let claims = decode::<Claims>(token, &self.key, &self.validation)?.claims;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let left = Duration::from_secs(claims.exp).saturating_sub(now);
        Ok(Login { claims, expires: Instant::now() + left.min(LONGEST_LOGIN) })
    }
}

fn server(secret: &[u8]) -> Result<Server, JwtError> {
    let io = Server::builder().state(Verifier::new(secret)?).build();
    // If you enable the recovery of sessions, set `skip_middlewares: false`. Otherwise a client with an expired token comes
    // back without this check.
    io.middleware(authenticate);
    io.on_connection(async |socket: Socket, claims: Claims| {
        socket.emit("welcome", &claims.sub);
        // In a task of its own: events are handled only after this handler has finished.
        tokio::spawn(disconnect_when_expired(socket));
    });
    io.on("renew", renew);
    io.on("who am I", async |claims: Claims| Reply(claims.sub));
    Ok(io)
}

async fn authenticate(
    socket: Socket,
    verifier: State<Verifier>,
    Auth(credentials): Auth<Credentials>,
) -> Result<(), ConnectError> {
    match verifier.verify(&credentials.token) {
        Ok(login) => {
            socket.set_extension(login);
            Ok(())
        }
        // The page fetches a new token if the old one has expired, and sends its user to the login otherwise.
        Err(error) if *error.kind() == ErrorKind::ExpiredSignature => {
            Err(ConnectError::new("the token has expired").data(json!({ "code": "token_expired" })))
        }
        Err(_) => Err(ConnectError::new("not authorized").data(json!({ "code": "invalid_token" }))),
    }
}

/// A client that sends a new token in time stays connected.
async fn renew(
    socket: Socket,
    current: Claims,
    verifier: State<Verifier>,
    Data(token): Data<String>,
) -> Result<u64, HandlerError> {
    let login = verifier.verify(&token).map_err(|_| HandlerError::new("the token is not valid"))?;
    // The rooms and the data of the socket belong to its user. Another user has to connect anew.
    if login.claims.sub != current.sub {
        return Err(HandlerError::new("the token of another user"));
    }
    let expires = login.claims.exp;
    socket.set_extension(login);
    Ok(expires)
}

async fn disconnect_when_expired(socket: Socket) {
    // A loop, because the token may have been renewed meanwhile.
    while let Some(login) = socket.extension::<Login>().filter(|login| login.expires > Instant::now()) {
        tokio::select! {
            () = tokio::time::sleep_until(login.expires) => {}
            _ = socket.disconnected() => return,
        }
    }
    // The client's reason is `io server disconnect`, after which it does not reconnect by itself. The page fetches a token
    // and calls `connect`.
    socket.disconnect();
}

/// Makes a token. In a larger system, another program does this: the one that checks passwords.
fn sign(secret: &[u8], user: &str, lifetime: Duration) -> Result<String, JwtError> {
    let expires = (SystemTime::now() + lifetime).duration_since(UNIX_EPOCH).unwrap_or_default();
    let claims = Claims { sub: user.to_owned(), exp: expires.as_secs() };
    encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret)?)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tidewire::client::DisconnectReason;
    use tidewire::testing::{self, Client};

    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    const SECRET: &[u8] = b"only for tests";
    const MINUTE: Duration = Duration::from_secs(60);

    async fn connect(io: &Server, token: &str) -> Result<Client, testing::ConnectError> {
        Client::builder(io).auth(json!({ "token": token })).connect().await
    }

    /// Returns what a page finds in `err.data.code`.
    fn code(refused: &testing::ConnectError) -> Option<String> {
        let testing::ConnectError::Rejected { data: Some(data), .. } = refused else { return None };
        data.deserialize::<Value>().ok()?["code"].as_str().map(str::to_owned)
    }

    #[tokio::test]
    async fn handlers_know_the_user_of_the_token() -> Tested {
        let io = server(SECRET)?;
        let mut ann = connect(&io, &sign(SECRET, "ann", MINUTE)?).await?;
        assert_eq!(ann.recv::<String>("welcome").await?, "ann");
        assert_eq!(ann.emit_with_ack::<String>("who am I", ()).await?, "ann");
        Ok(())
    }

    #[tokio::test]
    async fn a_refusal_says_whether_a_new_token_would_help() -> Tested {
        let io = server(SECRET)?;
        let expired = Claims { sub: "ann".to_owned(), exp: 1 };
        let expired = encode(&Header::default(), &expired, &EncodingKey::from_secret(SECRET)?)?;
        let forged = sign(b"another secret", "ann", MINUTE)?;
        for (token, expected) in
            [(&*expired, "token_expired"), (&*forged, "invalid_token"), ("", "invalid_token")]
        {
            let refused = connect(&io, token).await.unwrap_err();
            assert_eq!(code(&refused).as_deref(), Some(expected), "{refused}");
        }
        let refused = testing::connect(&io).await.unwrap_err();
        assert_eq!(code(&refused).as_deref(), Some("invalid_token"), "without credentials: {refused}");
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_is_disconnected_when_its_token_expires() -> Tested {
        let io = server(SECRET)?;
        let mut ann = connect(&io, &sign(SECRET, "ann", 10 * MINUTE)?).await?;
        tokio::time::sleep(9 * MINUTE).await;
        ann.sync().await?;
        tokio::time::sleep(MINUTE).await;
        assert_eq!(ann.disconnected().await?, DisconnectReason::IoServerDisconnect);
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_stays_if_its_own_user_renews_the_token() -> Tested {
        let io = server(SECRET)?;
        let mut ann = connect(&io, &sign(SECRET, "ann", 10 * MINUTE)?).await?;
        let refused: Value = ann.emit_with_ack("renew", sign(SECRET, "bob", 60 * MINUTE)?).await?;
        assert_eq!(refused, json!({ "error": "the token of another user" }));
        ann.emit_with_ack::<u64>("renew", sign(SECRET, "ann", 60 * MINUTE)?).await?;
        tokio::time::sleep(59 * MINUTE).await;
        assert_eq!(ann.emit_with_ack::<String>("who am I", ()).await?, "ann");
        tokio::time::sleep(MINUTE).await;
        assert_eq!(ann.disconnected().await?, DisconnectReason::IoServerDisconnect);
        Ok(())
    }
}
