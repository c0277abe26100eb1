//! The files of the pages, which are part of the binary. Their source is in `web/pages`.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

#[derive(Clone, Copy)]
struct File {
    media_type: &'static str,
    content: &'static str,
    policy: &'static str,
}

/// A page: where it is, its files, and its Content-Security-Policy.
macro_rules! page {
    ($router:ident, $path:literal, $name:literal, $policy:ident) => {
        $router
            .route(
                $path,
                get(File {
                    media_type: HTML,
                    content: include_str!(concat!("../../web/pages/", $name, ".html")),
                    policy: $policy,
                }),
            )
            .route(
                concat!("/pages/", $name, ".js"),
                file(SCRIPT, include_str!(concat!("../../web/pages/", $name, ".js"))),
            )
            .route(
                concat!("/pages/", $name, ".css"),
                file(STYLE, include_str!(concat!("../../web/pages/", $name, ".css"))),
            )
            .route(
                concat!("/pages/source/", $name, ".html"),
                file(TEXT, include_str!(concat!("../../web/pages-source/", $name, "/", $name, ".html"))),
            )
            .route(
                concat!("/pages/source/", $name, ".css"),
                file(TEXT, include_str!(concat!("../../web/pages-source/", $name, "/", $name, ".css"))),
            )
            .route(
                concat!("/pages/source/", $name, ".ts"),
                file(TEXT, include_str!(concat!("../../web/pages-source/", $name, "/", $name, ".ts"))),
            )
            .route(concat!("/pages/source/", $name, ".rs"), file(TEXT, include_str!(concat!($name, ".rs"))))
    };
}

/// A Content-Security-Policy. `$connect` is where the page may connect to.
macro_rules! policy {
    ($connect:literal) => {
        concat!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src ",
            $connect,
            "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        )
    };
}

/// What the main files of the pages need. `web/pages/build.js` lists them in each page.
macro_rules! sources {
    ($router:ident, $directory:literal, $($path:literal),+ $(,)?) => {
        $router$(.route(concat!("/pages/source/", $path), file(TEXT, include_str!(concat!($directory, $path)))))+
    };
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Returns the routes of all files.
pub(super) fn router() -> Router {
    let router = Router::new()
        .route("/pages/theme.js", file(SCRIPT, include_str!("../../web/pages/theme.js")))
        .route("/pages/icon.svg", file(SVG, include_str!("../../web/pages-source/shared/icon.svg")));
    let router = page!(router, "/", "home", POLICY);
    let router = page!(router, "/chat/", "chat", POLICY);
    let router = page!(router, "/tracking/", "tracking", POLICY);
    let router = page!(router, "/game/", "game", POLICY);
    let router = page!(router, "/playground/", "playground", PLAYGROUND_POLICY);
    let router = sources!(
        router,
        "../../web/pages-source/",
        "chat/ask.ts",
        "chat/controls.ts",
        "chat/drawing.ts",
        "chat/identity.ts",
        "chat/picture.ts",
        "chat/view.ts",
        "game/boat.ts",
        "game/compare.ts",
        "game/connections.ts",
        "game/controls.ts",
        "game/draw.ts",
        "game/meter.ts",
        "home/figures.ts",
        "home/snippets.ts",
        "home/sparkline.ts",
        "playground/log.ts",
        "playground/problems.ts",
        "playground/settings.ts",
        "playground/tap.ts",
        "playground/values.ts",
        "tracking/charts.ts",
        "tracking/drawing.ts",
        "tracking/lists.ts",
        "tracking/map.ts",
        "shared/answers.ts",
        "shared/base.css",
        "shared/connection.ts",
        "shared/dom.ts",
        "shared/drawing.ts",
        "shared/figures.ts",
        "shared/page.html",
        "shared/storage.ts",
    );
    sources!(
        router,
        "",
        "chat/limits.rs",
        "chat/look.rs",
        "chat/picture.rs",
        "chat/rate_limits.rs",
        "chat/room.rs",
        "chat/rooms.rs",
        "chat/text.rs",
        "connection_limits.rs",
        "figures.rs",
        "game/connections.rs",
        "game/protocol.rs",
        "game/world.rs",
        "random.rs",
        "rate_limit.rs",
        "text.rs",
        "tracking/orders.rs",
        "tracking/route.rs",
        "tracking/simulation.rs",
        "tracking/town.rs",
    )
}

fn file(media_type: &'static str, content: &'static str) -> axum::routing::MethodRouter {
    get(File { media_type, content, policy: POLICY })
}

impl IntoResponse for File {
    fn into_response(self) -> Response {
        let Self { media_type, content, policy } = self;
        let headers: [(HeaderName, HeaderValue); 5] = [
            (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        ];
        (headers, content).into_response()
    }
}

/// The pages load files of this server only, connect to it only, and run no text that a visitor has written.
const POLICY: &str = policy!("'self'");

/// The playground connects to any server.
const PLAYGROUND_POLICY: &str = policy!("*");
