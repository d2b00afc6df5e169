//! Who asks, and what they may do.
//!
//! ```text
//!  Authorization ─▶ token ─▶ Caller { name, scopes, user } ─▶ scope of the route ─▶ handler (`Asker`: for whom it speaks)
//!   none, or two: 401  unknown: 401                            lacks it: 403          another's: as if it were not there
//! ```
//!
//! Which scope a route asks for is in the OpenAPI document of its router ([`guarded`]), and nowhere else: what is enforced and what is
//! documented cannot differ. Without an [`Access`], everybody who reaches a listener may do what it offers.

use std::{collections::HashMap, num::NonZeroU32, path::PathBuf, sync::Arc};

use axum::{
    Router,
    extract::{FromRequestParts, MatchedPath, Request},
    http::{HeaderMap, Method, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use sha2::{Digest as _, Sha256};
use smol_str::{SmolStr, format_smolstr};
use utoipa::openapi::{
    OpenApi, Ref,
    path::{Operation, PathItem},
    security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    AuditLog, Problem, audit::Act, idempotency::KeySpace, openapi::refused_response, problem::kinds, rate::Rate,
};

mod issuer;
mod scope;
#[cfg(test)]
mod tests;
mod tokens;

pub use issuer::{IssuerSettings, KeysError};
pub use scope::{Scope, Scopes};
pub use tokens::{Entry, Error, NAME_CHARS_MAX, Token};

use issuer::Issuer;
use tokens::Tokens;

/// What the scheme of these tokens is called in the document.
const SCHEME: &str = "token";

/// Who may ask, and how often. Clones share it.
#[derive(Clone, Debug)]
pub struct Access(Arc<Known>);

#[derive(Debug)]
struct Known {
    tokens: Option<Tokens>,
    issuer: Option<Issuer>,
    rate: Option<Rate<SmolStr>>,
}

/// Who is let in, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessSettings {
    /// Whoever has one of the tokens in a file, which is read again when it has changed.
    pub tokens: Option<PathBuf>,
    /// Whoever has a token of this issuer.
    pub issuer: Option<IssuerSettings>,
    /// How many requests a second each of them may send.
    pub requests_per_second: Option<NonZeroU32>,
}

/// Why nobody can be told from anybody else.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file of tokens.
    #[error(transparent)]
    Tokens(#[from] Error),
    /// The issuer's keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

impl Access {
    /// Reads the files.
    ///
    /// # Errors
    /// One cannot be read, or has something else in it.
    pub fn open(settings: AccessSettings) -> Result<Self, AccessError> {
        let tokens = settings.tokens.map(tokens::open).transpose()?;
        let issuer = settings.issuer.map(Issuer::open).transpose()?;
        Ok(Self(Arc::new(Known { tokens, issuer, rate: settings.requests_per_second.map(Rate::new) })))
    }

    /// Why those who ask are judged by older versions of the files, if they are.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let issuer = || self.0.issuer.as_ref().and_then(Issuer::trouble);
        self.0.tokens.as_ref().and_then(Tokens::trouble).or_else(issuer)
    }

    /// Who sends these headers, if they may do what this scope is for, and have not asked too often.
    fn admit(&self, headers: &HeaderMap, scope: Scope) -> Result<Arc<Caller>, Problem> {
        let caller = self.caller(headers)?;
        if !caller.scopes.contains(scope) {
            let detail = format!("{} has not the scope {scope}", caller.name);
            return Err(Problem::new(&kinds::NOT_PERMITTED, detail).with("scope", scope.name()));
        }
        if let Some(rate) = &self.0.rate {
            rate.check(&caller.name).map_err(|wait| Problem::too_many_requests(&caller.name, wait))?;
        }
        Ok(caller)
    }

    /// Who sends these headers.
    fn caller(&self, headers: &HeaderMap) -> Result<Arc<Caller>, Problem> {
        let unknown = |detail: &'static str| Problem::new(&kinds::UNAUTHENTICATED, detail);
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (value, None) = (values.next(), values.next()) else {
            return Err(unknown("the Authorization header is there more than once"));
        };
        let value = value.ok_or_else(|| unknown("there is no Authorization header"))?;
        let token = token_in(value.as_bytes()).ok_or_else(|| {
            unknown("the Authorization header is none of `Bearer TOKEN` and, with the token as its password, `Basic`")
        })?;
        let of_file = self.0.tokens.as_ref().and_then(|tokens| tokens.current().get(&Token::of(&token)).cloned());
        match (of_file, &self.0.issuer) {
            (Some(caller), _) => Ok(caller),
            (None, Some(issuer)) => issuer.find(&token).map_err(unknown),
            (None, None) => Err(unknown("the token is not known here, or no longer")),
        }
    }
}

/// The token in a header: all of it, or for browsers, which know nothing better, the password.
fn token_in(value: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = value.split_at_checked(value.iter().position(|byte| *byte == b' ')?)?;
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(rest.to_vec());
    }
    let pair = scheme.eq_ignore_ascii_case(b"basic").then(|| STANDARD.decode(rest).ok())??;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    pair.get(colon + 1..).map(<[u8]>::to_vec)
}

/// Somebody who is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What the operator calls it.
    pub name: SmolStr,
    /// What it may do.
    pub scopes: Scopes,
    /// The only user for whom it may speak, where it is bound to one.
    pub user: Option<SmolStr>,
    keys: KeySpace,
}

/// What is in front of the idempotency keys of whoever is known by this: 72 bits of its hash, written with 12 characters.
fn key_space(identity: &str) -> KeySpace {
    let hash = Sha256::digest(identity.as_bytes());
    KeySpace(format_smolstr!("{}:", URL_SAFE_NO_PAD.encode(hash.get(..9).unwrap_or_default())))
}

/// Who asks, for a handler whose answer depends on it.
#[derive(Clone, Debug, Default)]
pub struct Asker(Option<Arc<Caller>>);

impl Asker {
    /// Whether it may see, and change, what belongs to this user.
    #[must_use]
    pub fn speaks_for(&self, user: &str) -> bool {
        self.user().is_none_or(|own| own == user)
    }

    /// The only user for whom it speaks, if it is bound to one.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.0.as_ref()?.user.as_deref()
    }

    /// Refuses what concerns no user of whom a caller that is bound to one could speak.
    ///
    /// # Errors
    /// [`kinds::NOT_PERMITTED`] for a caller that is bound to a user.
    pub fn check_unbound(&self) -> Result<(), Problem> {
        match self.user() {
            None => Ok(()),
            Some(_) => {
                Err(Problem::new(&kinds::NOT_PERMITTED, "the token is bound to a user, and this is for no user"))
            }
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.extensions.get::<Arc<Caller>>().cloned()))
    }
}

/// The same routes, which ask for one scope to be read and for another to change something.
#[must_use]
pub fn guarded<S>(mut router: OpenApiRouter<S>, read: Scope, write: Scope) -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    for item in router.get_openapi_mut().paths.paths.values_mut() {
        for (operation, scope) in [(&mut item.get, read), (&mut item.post, write)] {
            if let Some(operation) = operation {
                operation.security = Some(vec![SecurityRequirement::new(SCHEME, [scope.name()])]);
            }
        }
    }
    router
}

fn operations(document: &mut OpenApi) -> impl Iterator<Item = &mut Operation> {
    document.paths.paths.values_mut().flat_map(|item| [&mut item.get, &mut item.post]).flatten()
}

fn describe(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    components.security_schemes.insert(SCHEME.to_owned(), scheme.into());
    let refusals = [
        ("401", "Unauthenticated", "Who asks is not known."),
        ("403", "NotPermitted", "Who asks may not do this; nothing was changed."),
    ];
    for (status, name, description) in refusals {
        components.responses.insert(name.to_owned(), refused_response(status, description));
    }
    for operation in operations(document).filter(|operation| operation.security.is_some()) {
        for (status, name, _) in refusals {
            operation.responses.responses.insert(status.to_owned(), Ref::from_response_name(name).into());
        }
    }
}

/// What a path asks for.
#[derive(Debug, Default)]
struct Required {
    get: Option<Scope>,
    post: Option<Scope>,
}

impl Required {
    fn of(path: &str, item: &PathItem, open: &[&str]) -> Self {
        let scope = |operation: &Option<Operation>| {
            let operation = operation.as_ref()?;
            let scope = operation.security.as_ref().and_then(|all| scope_in(all.first()?));
            assert!(scope.is_some() || open.contains(&path), "{path} says which scope it asks for");
            scope
        };
        Self { get: scope(&item.get), post: scope(&item.post) }
    }
}

fn scope_in(requirement: &SecurityRequirement) -> Option<Scope> {
    // It shows what it is made of in no other way.
    let value = serde_json::to_value(requirement).ok()?;
    value.get(SCHEME)?.get(0)?.as_str()?.parse().ok()
}

/// Has a router ask for the scopes that its document names, where there is somebody to ask for, and write down what changes more than
/// clients may.
pub(crate) struct Guard(Option<Arc<Rules>>);

impl Guard {
    /// Says in the document what is asked for; where nobody is asked, that nothing is.
    ///
    /// # Panics
    /// A route is not said to ask for a scope, and is none of those that are `open` to everybody.
    pub(crate) fn of(access: Option<Access>, audit: Option<AuditLog>, document: &mut OpenApi, open: &[&str]) -> Self {
        let paths = document.paths.paths.iter();
        let required = paths.map(|(path, item)| (path.as_str().into(), Required::of(path, item, open))).collect();
        match &access {
            Some(_) => describe(document),
            None => operations(document).for_each(|operation| operation.security = None),
        }
        if access.is_none() && audit.is_none() {
            return Self(None);
        }
        Self(Some(Arc::new(Rules { access, audit, required })))
    }

    pub(crate) fn on(self, router: Router) -> Router {
        let Some(rules) = self.0 else { return router };
        router.route_layer(middleware::from_fn(move |request: Request, next: Next| {
            let rules = Arc::clone(&rules);
            async move { rules.answer(request, next).await }
        }))
    }
}

struct Rules {
    access: Option<Access>,
    audit: Option<AuditLog>,
    required: HashMap<Box<str>, Required, foldhash::fast::RandomState>,
}

impl Rules {
    async fn answer(&self, mut request: Request, next: Next) -> Response {
        let Some(scope) = self.scope_of(&request) else { return next.run(request).await };
        let admitted = self.access.as_ref().map(|access| access.admit(request.headers(), scope)).transpose();
        let audit = self.audit.as_ref().filter(|_| scope.is_audited());
        let name = admitted.as_ref().ok().and_then(|caller| Some(caller.as_ref()?.name.clone()));
        let act = audit.map(|audit| (audit, Act::asked(&request, name.as_deref())));
        match admitted {
            Ok(Some(caller)) => {
                request.extensions_mut().insert(caller.keys.clone());
                request.extensions_mut().insert(caller);
            }
            Ok(None) => {}
            Err(problem) => {
                if let Some((audit, act)) = act
                    && let Err(error) = audit.append(act.refused(problem.kind().status().as_u16())).await
                {
                    tracing::error!(%error, "the audit log cannot be written");
                }
                return problem.into_response();
            }
        }
        let Some((audit, act)) = act else { return next.run(request).await };
        if let Err(error) = audit.append(act.clone()).await {
            let detail = "the audit log cannot be written; nothing was done";
            return Problem::unavailable(detail, 5).because(error).into_response();
        }
        let response = next.run(request).await;
        if let Err(error) = audit.append(act.answered(response.status().as_u16())).await {
            tracing::error!(%error, "the audit log cannot be written: how an act ended is not in it");
        }
        response
    }

    /// What a request asks for.
    fn scope_of(&self, request: &Request) -> Option<Scope> {
        let required = self.required.get(request.extensions().get::<MatchedPath>()?.as_str())?;
        match *request.method() {
            Method::GET | Method::HEAD => required.get,
            Method::POST => required.post,
            // No route has it.
            _ => None,
        }
    }
}
