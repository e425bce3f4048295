//! Ways in from outside: what Ingresses, HTTPRoutes and published Services send on, and to where.
//!
//! The machinery in between (a controller, a load balancer) is somebody else's: to policy the
//! traffic comes from outside the workloads at hand, and arrives at the backends named here.
//!
//! Invariant: every backend that is written down is one [`Entry`], also one that leads nowhere.

use std::fmt;

use k8s_openapi::api::networking::v1::{IngressBackend, IngressServiceBackend};

use crate::object::{Object, ObjectKey};
use crate::service::{PortWish, ServiceError, Services, Target};

#[cfg(test)]
mod tests;

/// One way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The Ingress, HTTPRoute or Service that lets traffic in.
    pub object: ObjectKey,
    /// Where the backend is written, such as `spec.rules[0].http.paths[1].backend`.
    pub field: String,
    /// What requests must ask for: host and path; empty where nothing is asked.
    pub request: String,
    pub namespace: String,
    pub service: String,
    pub port: PortWish,
}

/// Why an entry leads nowhere; the traffic is refused before it comes to any workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error("the backend is no Service but a {0}")]
    Kind(String),
    #[error("the backend names no {0}")]
    Missing(&'static str),
}

/// A backend that cannot be an [`Entry`] at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub object: ObjectKey,
    pub field: String,
    pub error: EntryError,
}

/// Every way in that the objects describe, in the order of objects.
pub fn entries<'a>(objects: impl IntoIterator<Item = &'a Object>) -> (Vec<Entry>, Vec<Broken>) {
    let mut found = Found::default();
    for object in objects {
        match object {
            Object::Ingress(_) => found.ingress(object),
            Object::HttpRoute(_) => found.route(object),
            Object::Service(_) => found.service(object),
            _ => {}
        }
    }
    (found.entries, found.broken)
}

impl Entry {
    /// To where the traffic goes in the end.
    pub fn targets(&self, services: &Services<'_>) -> Result<Vec<Target>, ServiceError> {
        services.targets(&self.namespace, &self.service, &self.port)
    }
}

/// `Ingress shop/web example.com/api`
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.object)?;
        if self.request.is_empty() { Ok(()) } else { write!(f, " {}", self.request) }
    }
}

#[derive(Default)]
struct Found {
    entries: Vec<Entry>,
    broken: Vec<Broken>,
}

impl Found {
    fn ingress(&mut self, object: &Object) {
        let Object::Ingress(ingress) = object else { return };
        let Some(spec) = &ingress.spec else { return };
        if let Some(backend) = &spec.default_backend {
            self.backend(object, "spec.defaultBackend".to_owned(), String::new(), backend);
        }
        for (i, rule) in spec.rules.iter().flatten().enumerate() {
            let host = rule.host.as_deref().unwrap_or_default();
            for (j, path) in rule.http.iter().flat_map(|http| &http.paths).enumerate() {
                let field = format!("spec.rules[{i}].http.paths[{j}].backend");
                let request = format!("{host}{}", path.path.as_deref().unwrap_or_default());
                self.backend(object, field, request, &path.backend);
            }
        }
    }

    fn backend(&mut self, object: &Object, field: String, request: String, to: &IngressBackend) {
        let key = object.key();
        let error = match (&to.service, &to.resource) {
            (Some(IngressServiceBackend { name, port }), _) => {
                let port = port.as_ref();
                let number = port.and_then(|port| u16::try_from(port.number?).ok());
                let name_of_port = port.and_then(|port| port.name.clone());
                let wish = number.map(PortWish::Number).or(name_of_port.map(PortWish::Name));
                match wish {
                    Some(port) => {
                        let (namespace, service) = (key.namespace.clone(), name.clone());
                        let object = key;
                        self.entries.push(Entry {
                            object,
                            field,
                            request,
                            namespace,
                            service,
                            port,
                        });
                        return;
                    }
                    None => EntryError::Missing("port"),
                }
            }
            (None, Some(resource)) => EntryError::Kind(resource.kind.clone()),
            (None, None) => EntryError::Missing("service"),
        };
        self.broken.push(Broken { object: key, field, error });
    }

    fn route(&mut self, object: &Object) {
        let Object::HttpRoute(route) = object else { return };
        let key = object.key();
        let hosts = route.spec.hostnames.iter().flatten().cloned().collect::<Vec<_>>().join(",");
        for (i, rule) in route.spec.rules.iter().flatten().enumerate() {
            for (j, to) in rule.backend_refs.iter().flatten().enumerate() {
                let field = format!("spec.rules[{i}].backendRefs[{j}]");
                let port = to.port.and_then(|port| u16::try_from(port).ok());
                // A weight of zero keeps a backend out of turn.
                if to.weight == Some(0) {
                    continue;
                }
                let error = match (to.kind.as_deref(), &to.name, port) {
                    (Some(kind), _, _) if kind != "Service" => EntryError::Kind(kind.to_owned()),
                    (_, None, _) => EntryError::Missing("name"),
                    (_, _, None) => EntryError::Missing("port"),
                    (_, Some(service), Some(port)) => {
                        self.entries.push(Entry {
                            object: key.clone(),
                            field,
                            request: hosts.clone(),
                            namespace: to.namespace.clone().unwrap_or(key.namespace.clone()),
                            service: service.clone(),
                            port: PortWish::Number(port),
                        });
                        continue;
                    }
                };
                self.broken.push(Broken { object: key.clone(), field, error });
            }
        }
    }

    /// Services that are reachable from outside by themselves.
    fn service(&mut self, object: &Object) {
        let Object::Service(service) = object else { return };
        let Some(spec) = &service.spec else { return };
        let is_published = matches!(spec.type_.as_deref(), Some("NodePort" | "LoadBalancer"))
            || spec.external_ips.as_ref().is_some_and(|ips| !ips.is_empty());
        if !is_published {
            return;
        }
        let key = object.key();
        for (i, port) in spec.ports.iter().flatten().enumerate() {
            let Ok(number) = u16::try_from(port.port) else { continue };
            self.entries.push(Entry {
                object: key.clone(),
                field: format!("spec.ports[{i}]"),
                request: String::new(),
                namespace: key.namespace.clone(),
                service: key.name.clone(),
                port: port.name.clone().map_or(PortWish::Number(number), PortWish::Name),
            });
        }
    }
}
