//! The services: HTTP on every declared port, in their own namespaces, calling one another.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{BANK, BANK_NAME, CUSTOMERS, CUSTOMERS_NAME, Call, calls};
use crate::net::Net;
use crate::netns::NetNs;
use crate::world::Endpoint;

/// A call that takes longer has failed.
const CALL_PATIENCE: Duration = Duration::from_secs(3);

/// Where a service, the bank or the customers are.
#[derive(Clone, Debug)]
struct Place {
    netns: NetNs,
    /// IPv4, IPv6.
    addresses: [IpAddr; 2],
}

/// The running services.
pub struct Services {
    net: Arc<Net>,
    places: BTreeMap<String, Place>,
    tally: Mutex<Tally>,
}

/// What became of the calls.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub n_ok: u64,
    /// Which calls failed, how often, and the last reason.
    pub failed: BTreeMap<String, (u64, String)>,
}

impl Tally {
    pub fn n_failed(&self) -> u64 {
        self.failed.values().map(|(times, _)| times).sum()
    }
}

impl Services {
    /// Looks everybody up and opens their ports; [`Services::serve`] then answers.
    pub async fn open(net: Arc<Net>, endpoints: &[Endpoint]) -> Result<(Self, Vec<Door>)> {
        let mut places = BTreeMap::new();
        let mut doors = Vec::new();
        for endpoint in endpoints {
            let name = endpoint.id.to_string();
            let (netns, _) = net.endpoint(&name).await?;
            let address =
                |v6| endpoint.address(v6).with_context(|| format!("`{name}`: dual-stack"));
            let place = Place { netns, addresses: [address(false)?, address(true)?] };
            for (_, port) in &endpoint.ports {
                doors.extend(open(&net, &name, &place, *port)?);
            }
            places.insert(name, place);
        }
        for (name, texts) in [(BANK_NAME, BANK), (CUSTOMERS_NAME, CUSTOMERS)] {
            let [v4, v6] = texts;
            let addresses = [v4.parse()?, v6.parse()?];
            let place = Place { netns: net.outside(&addresses).await?, addresses };
            if name == BANK_NAME {
                doors.extend(open(&net, name, &place, 443)?);
            }
            places.insert(name.to_owned(), place);
        }
        Ok((Self { net, places, tally: Mutex::default() }, doors))
    }

    pub fn tally(&self) -> Tally {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers at a door until dropped.
    pub async fn serve(self: Arc<Self>, door: Door) -> Infallible {
        let name: Arc<str> = door.service.into();
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let Ok((stream, _)) = door.listener.accept().await else { continue };
            let (services, name) = (Arc::clone(&self), Arc::clone(&name));
            connections.spawn(async move {
                let answer = service_fn(|request: Request<Incoming>| {
                    let (services, name) = (Arc::clone(&services), Arc::clone(&name));
                    async move { Ok::<_, Infallible>(services.answer(&name, &request).await) }
                });
                let server = hyper::server::conn::http1::Builder::new();
                // a client that hangs up is its own business, and its own tally
                let _ = server.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    }

    async fn answer(&self, service: &str, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        let (status, text) = match calls(service, path) {
            None => (StatusCode::NOT_FOUND, format!("{service} has no {path}\n")),
            Some(calls) => match self.call_all(service, calls).await {
                Ok(()) => (StatusCode::OK, format!("{service}{path}\n")),
                Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}\n")),
            },
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        response
    }

    async fn call_all(&self, from: &str, calls: &[Call]) -> Result<()> {
        for call in calls {
            self.call(from, *call).await?;
        }
        Ok(())
    }

    /// One HTTP request over a connection of its own; IPv4 and IPv6 by turns.
    pub async fn call(&self, from: &str, call: Call) -> Result<()> {
        let v6 = crate::nonce::nonce() & 1 == 1;
        let result = tokio::time::timeout(CALL_PATIENCE, self.request(from, call, v6)).await;
        let result = result.unwrap_or_else(|_| bail!("no answer in {CALL_PATIENCE:?}"));
        let what = format!("{from} -> {}:{}{}", call.to, call.port, call.path);
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        match &result {
            Ok(()) => tally.n_ok += 1,
            Err(error) => {
                let (times, last) = tally.failed.entry(what.clone()).or_default();
                *times += 1;
                *last = format!("IPv{}: {error:#}", if v6 { 6 } else { 4 });
            }
        }
        result.context(what)
    }

    async fn request(&self, from: &str, call: Call, v6: bool) -> Result<()> {
        let (from, to) = (self.place(from)?, self.place(call.to)?);
        let [src, dst] = [from, to].map(|place| {
            let [v4_address, v6_address] = place.addresses;
            if v6 { v6_address } else { v4_address }
        });
        let stream =
            self.net.tcp_connect(&from.netns, src, SocketAddr::new(dst, call.port)).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::get(call.path).header("host", call.to).body(Empty::<Bytes>::new())?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            drop(sender);
            anyhow::Ok((status, body))
        };
        let (answered, _) = tokio::join!(exchange, connection);
        let (status, body) = answered?;
        if status != StatusCode::OK {
            bail!("{status}: {}", String::from_utf8_lossy(&body).trim());
        }
        Ok(())
    }

    fn place(&self, name: &str) -> Result<&Place> {
        self.places.get(name).with_context(|| format!("the shop has no `{name}`"))
    }
}

/// A port that a service listens on.
#[derive(Debug)]
pub struct Door {
    service: String,
    listener: TcpListener,
}

fn open(net: &Net, service: &str, place: &Place, port: u16) -> Result<Vec<Door>> {
    place
        .addresses
        .iter()
        .map(|address| {
            let listener = net.tcp_listener(&place.netns, SocketAddr::new(*address, port))?;
            Ok(Door { service: service.to_owned(), listener })
        })
        .collect()
}
