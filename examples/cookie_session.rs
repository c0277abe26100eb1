//! Users who log in with a cookie, in an axum program: `cargo run -p tidewire --example cookie_session`.
//!
//! A page logs in with `fetch("/login", { method: "POST", headers, body })`, and then connects with `io()`. The browser sends
//! the cookie with both, so the page never sees it. The logout disconnects all tabs of the session at once.
//!
//! ```sh
//! curl -i --json '{"user": "ann", "password": "secret"}' localhost:3000/login
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State as AppState;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use serde::Deserialize;
use serde_json::json;
use tidewire::server::{
    AllowedOrigins, ConnectError, Extension, HandlerError, InvalidOrigin, Reply, Server, Socket, State,
};

const COOKIE: &str = "session";
/// How long a login lasts.
const LIFETIME: Duration = Duration::from_secs(8 * 60 * 60);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = App::new(&["http://localhost:3000"])?;
    let listener = app.io.bind("127.0.0.1:3000").await?;
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    app.io.serve_with(listener, app.router(), stop).await;
    Ok(())
}

#[derive(Clone)]
struct App {
    io: Server,
    sessions: Sessions,
}

/// A session of a user. In your program, it is in a database, and so survives a restart.
#[derive(Clone)]
struct Session {
    user: String,
    /// The room of its sockets. It is not named after the token: names of rooms appear in logs, and the token is a secret.
    room: String,
}

/// The sessions, by the token in the cookie.
#[derive(Clone, Default)]
struct Sessions(Arc<Mutex<HashMap<String, Session>>>);

impl Sessions {
    fn open(&self, user: String) -> Result<String, getrandom::Error> {
        // 256 random bits, which nobody guesses.
        let [token, room] = [random_text()?, random_text()?];
        let session = Session { user, room: format!("session:{room}") };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(token.clone(), session);
        Ok(token)
    }

    fn find(&self, token: &str) -> Option<Session> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    fn remove(&self, token: &str) -> Option<Session> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(token)
    }
}

fn random_text() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl App {
    /// Creates the program for pages of these origins.
    fn new(origins: &[&str]) -> Result<Self, InvalidOrigin> {
        let sessions = Sessions::default();
        // A browser sends the cookie with every WebSocket handshake to this server, whatever page asks for it, and CORS does
        // not apply to WebSocket. Without this line, a page of somebody else could therefore connect as the user who visits
        // it, and read and send everything. `SameSite` alone does not prevent that: all subdomains and ports of a host are
        // the same site.
        let io =
            Server::builder().allow_origins(AllowedOrigins::new(origins)?).state(sessions.clone()).build();
        io.middleware(authenticate);
        io.on_connection(enter);
        io.on("who am I", async |session: Extension<Session>| Reply(session.0.user.clone()));
        Ok(Self { io, sessions })
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/login", post(login))
            .route("/logout", post(logout))
            .with_state(self.clone())
            .layer(self.io.layer())
    }

    /// Ends a session: its token is refused from now on, and its sockets are disconnected, on all servers of a cluster.
    fn end(&self, token: &str) {
        if let Some(session) = self.sessions.remove(token) {
            self.io.to(session.room).disconnect_sockets(true);
        }
    }
}

async fn authenticate(socket: Socket, sessions: State<Sessions>) -> Result<(), ConnectError> {
    let session = token(&socket).and_then(|token| sessions.find(&token));
    let session = session.ok_or_else(|| ConnectError::new("not logged in").data(json!({ "code": 401 })))?;
    socket.set_extension(session);
    Ok(())
}

async fn enter(
    socket: Socket,
    session: Extension<Session>,
    sessions: State<Sessions>,
) -> Result<(), HandlerError> {
    socket.join(&session.0.room).await?;
    // A logout between `authenticate` and `join` has not found this socket in the room.
    if token(&socket).is_none_or(|token| sessions.find(&token).is_none()) {
        socket.close_connection();
    }
    Ok(())
}

/// Returns the token of the request that has opened the connection.
fn token(socket: &Socket) -> Option<String> {
    let mut cookies = Cookie::split_parse(socket.handshake().header("cookie")?).flatten();
    cookies.find(|cookie| cookie.name() == COOKIE).map(|cookie| cookie.value().to_owned())
}

#[derive(Deserialize)]
struct Credentials {
    user: String,
    password: String,
}

/// Only JSON is accepted. A form of another page cannot send that, so it cannot log its visitor in as somebody else.
async fn login(
    AppState(app): AppState<App>,
    jar: CookieJar,
    Json(credentials): Json<Credentials>,
) -> Result<CookieJar, StatusCode> {
    // Stands for a database with salted hashes of passwords (Argon2), and a limit of attempts.
    if (&*credentials.user, &*credentials.password) != ("ann", "secret") {
        return Err(StatusCode::UNAUTHORIZED);
    }
    // A new token for each login: one that somebody has planted in the browser before is worth nothing.
    let token = app.sessions.open(credentials.user).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let cookie = Cookie::build((COOKIE, token.clone()))
        .path("/")
        // No script reads it, also if somebody injects one into the page.
        .http_only(true)
        // Only over TLS. Browsers accept it from `http://localhost`, too.
        .secure(true)
        // Not with requests that pages of other sites cause.
        .same_site(SameSite::Lax);
    tokio::spawn(async move {
        tokio::time::sleep(LIFETIME).await;
        app.end(&token);
    });
    Ok(jar.add(cookie))
}

async fn logout(AppState(app): AppState<App>, jar: CookieJar) -> CookieJar {
    if let Some(cookie) = jar.get(COOKIE) {
        app.end(cookie.value());
    }
    // The browser deletes a cookie only if the path is the same.
    jar.remove(Cookie::build(COOKIE).path("/"))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Request;
    use axum::http::header::{CONTENT_TYPE, COOKIE as COOKIE_HEADER, SET_COOKIE};
    use axum::response::Response;
    use tidewire::client::DisconnectReason;
    use tidewire::testing::{self, Client};
    use tower::ServiceExt;

    use super::*;

    type Tested<T = ()> = Result<T, Box<dyn std::error::Error>>;

    const ORIGIN: &str = "https://app.example.com";

    async fn post(app: &App, path: &str, cookie: &str, body: &str) -> Tested<Response> {
        let request =
            Request::post(path).header(COOKIE_HEADER, cookie).header(CONTENT_TYPE, "application/json");
        Ok(app.router().oneshot(request.body(Body::from(body.to_owned()))?).await?)
    }

    /// Logs in. Returns the header `set-cookie`.
    async fn log_in(app: &App) -> Tested<String> {
        let response = post(app, "/login", "", r#"{"user": "ann", "password": "secret"}"#).await?;
        Ok(response.headers().get(SET_COOKIE).ok_or("no cookie")?.to_str()?.to_owned())
    }

    /// Opens a tab with this cookie on a page of this origin.
    async fn tab(app: &App, set_cookie: &str, origin: &'static str) -> Result<Client, testing::ConnectError> {
        let cookie = set_cookie.split(';').next().unwrap_or_default().to_owned();
        Client::builder(&app.io)
            .service(app.router())
            .configure(move |client| {
                client.extra_header("cookie", format!("theme=dark; {cookie}")).extra_header("origin", origin)
            })
            .connect()
            .await
    }

    #[tokio::test]
    async fn the_cookie_of_the_login_opens_the_connection() -> Tested {
        let app = App::new(&[ORIGIN])?;
        let cookie = log_in(&app).await?;
        for attribute in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        let mut ann = tab(&app, &cookie, ORIGIN).await?;
        assert_eq!(ann.emit_with_ack::<String>("who am I", ()).await?, "ann");
        for other in ["", "session=0123"] {
            let refused = tab(&app, other, ORIGIN).await.unwrap_err();
            assert!(refused.to_string().contains("not logged in"), "{refused}");
        }
        let refused = post(&app, "/login", "", r#"{"user": "ann", "password": "guess"}"#).await?;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        Ok(())
    }

    #[tokio::test]
    async fn a_page_of_another_origin_cannot_use_the_cookie() -> Tested {
        let app = App::new(&[ORIGIN])?;
        let cookie = log_in(&app).await?;
        for origin in ["https://evil.example", "https://evil.example.com", "https://app.example.com:8443"] {
            let refused = tab(&app, &cookie, origin).await.unwrap_err();
            assert!(matches!(refused, testing::ConnectError::Failed(_)), "{origin}: {refused}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn the_logout_disconnects_all_tabs_of_this_session_and_no_others() -> Tested {
        let app = App::new(&[ORIGIN])?;
        let (here, elsewhere) = (log_in(&app).await?, log_in(&app).await?);
        let mut tabs = [tab(&app, &here, ORIGIN).await?, tab(&app, &here, ORIGIN).await?];
        let mut phone = tab(&app, &elsewhere, ORIGIN).await?;
        for client in tabs.iter_mut().chain([&mut phone]) {
            client.sync().await?;
        }
        post(&app, "/logout", &here, "").await?;
        for tab in &mut tabs {
            assert_eq!(tab.disconnected().await?, DisconnectReason::IoServerDisconnect);
        }
        assert_eq!(phone.emit_with_ack::<String>("who am I", ()).await?, "ann");
        assert!(tabs[0].reconnect().await.is_err(), "the token is worth nothing now");
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_after_its_lifetime() -> Tested {
        let app = App::new(&[ORIGIN])?;
        let cookie = log_in(&app).await?;
        let mut ann = tab(&app, &cookie, ORIGIN).await?;
        tokio::time::sleep(LIFETIME).await;
        assert_eq!(ann.disconnected().await?, DisconnectReason::IoServerDisconnect);
        assert!(tab(&app, &cookie, ORIGIN).await.is_err());
        Ok(())
    }
}
