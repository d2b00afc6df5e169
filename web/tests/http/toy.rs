//! A service in miniature: cups that hold at most ten units. It shows how a service uses this crate.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, extract::State, http::StatusCode};
use prometheus_client::registry::Registry;
use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::{IntoParams, ToSchema, openapi::OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{
    Browsers, Dialect, Idempotency, Path, Problem, Readiness, Site,
    access::{Scope, guarded},
    metrics::HttpMetrics,
    openapi::{About, AnyProblem, Conflict, KeyReused, NotFound},
    problem::Kind,
};

/// A kind of problem that only this service has.
static CUP_FULL: Kind = Kind::new(
    "cup-full",
    StatusCode::CONFLICT,
    "The cup would overflow",
    "The cup cannot take this much more. Nothing was poured. Drink first, then pour again.",
);

/// Every kind of this service, for [`Site::kinds`].
pub(crate) static KINDS: &[&Kind] = &[&CUP_FULL];

/// An id checks itself while it is deserialized; its error's text is what clients read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[schema(pattern = "^[a-z]{1,8}$")]
pub(crate) struct CupId(String);

impl<'de> Deserialize<'de> for CupId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Checked(|text| {
            let is_id = (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase());
            if is_id { Ok(Self(text.to_owned())) } else { Err("a cup's id is 1 to 8 letters a to z") }
        }))
    }
}

/// An amount of 1 to 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(minimum = 1, maximum = 10)]
pub(crate) struct Amount(u8);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Checked(|text| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
            match text.parse() {
                Ok(amount @ 1..=10) if digits => Ok(Self(amount)),
                _ => Err("an amount is a whole number from 1 to 10"),
            }
        }))
    }
}

/// Reads a text, or says why it is refused.
struct Checked<T>(fn(&str) -> Result<T, &'static str>);

impl<T> de::Visitor<'_> for Checked<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        self.0(text).map_err(E::custom)
    }
}

/// Path parameters by name. `inline`, because the document has no components for the types of parameters.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct AddParameters {
    /// Which cup.
    #[param(inline)]
    id: CupId,
    /// How much to pour.
    #[param(inline)]
    amount: Amount,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct CupParameters {
    /// Which cup.
    #[param(inline)]
    id: CupId,
}

/// What a cup holds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Cup {
    #[schema(inline)]
    id: CupId,
    level: u8,
}

/// The state of the service; a real one has the handle of its engine here.
#[derive(Clone, Debug)]
pub(crate) struct Toy {
    levels: Arc<Mutex<HashMap<CupId, u8>>>,
    replies: Arc<Mutex<HashMap<String, (u64, u8)>>>,
}

/// Pours into a cup.
#[utoipa::path(
    post,
    path = "/toy/add/{id}/{amount}",
    tag = "toy",
    params(AddParameters, Idempotency),
    responses((status = 200, description = "Poured.", body = Cup), AnyProblem, NotFound, Conflict, KeyReused),
)]
async fn add(
    State(toy): State<Toy>,
    Path(AddParameters { id, amount }): Path<AddParameters>,
    Idempotency(key): Idempotency,
) -> Result<Json<Cup>, Problem> {
    let mut replies = toy.replies.lock().unwrap();
    if let Some(key) = &key
        && let Some((fingerprint, level)) = replies.get(key.key.as_str())
    {
        return match *fingerprint == key.fingerprint {
            true => Ok(Json(Cup { id, level: *level })),
            false => Err(Problem::idempotency_key_reused()),
        };
    }
    let mut levels = toy.levels.lock().unwrap();
    let Some(level) = levels.get_mut(&id) else {
        return Err(Problem::not_found("there is no such cup").with("id", id.0));
    };
    if *level + amount.0 > 10 {
        let detail = format!("{} more do not fit on top of {level}", amount.0);
        return Err(Problem::new(&CUP_FULL, detail).with("id", id.0).with("level", *level));
    }
    *level += amount.0;
    if let Some(key) = key {
        replies.insert(key.key.to_string(), (key.fingerprint, *level));
    }
    Ok(Json(Cup { id, level: *level }))
}

/// What a cup holds.
#[utoipa::path(
    get,
    path = "/toy/find/{id}",
    tag = "toy",
    params(CupParameters),
    responses((status = 200, description = "The cup.", body = Cup), AnyProblem, NotFound),
)]
async fn find(State(toy): State<Toy>, Path(CupParameters { id }): Path<CupParameters>) -> Result<Json<Cup>, Problem> {
    let level = toy.levels.lock().unwrap().get(&id).copied();
    let level = level.ok_or_else(|| Problem::not_found("there is no such cup"))?;
    Ok(Json(Cup { id, level }))
}

/// Answers after a while.
#[utoipa::path(
    get,
    path = "/toy/wait/{ms}",
    tag = "toy",
    params(("ms" = u64, Path, description = "How long to wait, in milliseconds.")),
    responses((status = 200, description = "The wait is over."), AnyProblem),
)]
async fn wait(Path(ms): Path<u64>) -> &'static str {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    "waited"
}

impl Toy {
    pub(crate) fn new() -> Self {
        let levels = HashMap::from([(CupId("tea".to_owned()), 0)]);
        Self { levels: Arc::new(Mutex::new(levels)), replies: Arc::default() }
    }

    /// The routes of the service, documented.
    pub(crate) fn router(self) -> OpenApiRouter {
        let router = OpenApiRouter::default().routes(routes!(add)).routes(routes!(find)).routes(routes!(wait));
        guarded(router.with_state(self), Scope::StockRead, Scope::StockWrite)
    }
}

/// What a binary does with the routers of its services (joined with `merge`, where there are several).
pub(crate) fn site(readiness: Readiness) -> (Router, OpenApi) {
    site_in(Dialect::Own, readiness)
}

pub(crate) fn site_in(dialect: Dialect, readiness: Readiness) -> (Router, OpenApi) {
    bare_site(dialect, readiness).router(Toy::new().router())
}

/// Without the service.
pub(crate) fn bare_site(dialect: Dialect, readiness: Readiness) -> Site {
    let (mut registry, metrics) = (Registry::default(), HttpMetrics::default());
    metrics.register(&mut registry);
    Site {
        about: About {
            name: "toy",
            version: "1.2.3",
            description: "Cups to pour into.",
            tags: vec![("toy", "Cups.")],
            example: Some("curl http://127.0.0.1:8000/toy/find/tea"),
            steps: Vec::new(),
            pages: None,
        },
        readiness,
        registry: Some(Arc::new(registry)),
        metrics,
        access: None,
        audit: None,
        kinds: KINDS.to_vec(),
        dialect,
        behind_gateway: true,
        browsers: Browsers::default(),
    }
}
