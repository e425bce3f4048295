//! Wires that are cut and laid again, as faults do it.

use anyhow::{Context, Result};

use super::{Net, State, ip, layout};

impl Net {
    /// Name of the host side of an endpoint's wire.
    pub async fn interface(&self, name: &str) -> Result<String> {
        let state = self.state.lock().await;
        Ok(layout::interface(state.index(name)?))
    }

    /// Runs `ip` lines on an endpoint's node.
    pub async fn on_node_of(&self, name: &str, lines: &str) -> Result<()> {
        let (_, endpoint) = self.endpoint(name).await?;
        ip::batch(Some(&self.node(&endpoint.node).await?.name), lines).await
    }

    /// The routes and neighbours of an endpoint, as its node has them through `interface`.
    pub async fn routes(&self, name: &str, interface: &str) -> Result<String> {
        let (_, endpoint) = self.endpoint(name).await?;
        let index = self.state.lock().await.index(name)?;
        let own = layout::interface(index);
        let lines = layout::endpoint(&endpoint, index, 1, "").node;
        let routes = lines.lines().filter(|line| !line.starts_with("link "));
        // Some of them outlive the interface's going down.
        let again = |line: &str| line.replace(" add ", " replace ").replace(&own, interface);
        Ok(routes.map(|line| format!("{}\n", again(line))).collect())
    }

    /// Wires an endpoint again whose wire was cut.
    pub async fn rewire(&self, name: &str) -> Result<()> {
        let (netns, endpoint) = self.endpoint(name).await?;
        let state = self.state.lock().await;
        let index = state.index(name)?;
        let (number, node) = state.nodes.get(&endpoint.node).context("the node has gone")?;
        let lines = layout::endpoint(&endpoint, index, *number, &netns.name);
        ip::batch(Some(&node.name), &lines.node).await?;
        ip::batch(Some(&netns.name), &lines.endpoint).await
    }

    /// Takes an endpoint off the network: its wire, and the way to it from outside.
    pub async fn evict(&self, name: &str) -> Result<()> {
        let (netns, endpoint) = self.endpoint(name).await?;
        let state = self.state.lock().await;
        let index = state.index(name)?;
        let (number, node) = state.nodes.get(&endpoint.node).context("the node has gone")?;
        let lines = layout::endpoint(&endpoint, index, *number, &netns.name);
        let link = layout::interface(index);
        ip::batch(Some(&node.name), &format!("link del {link}\n")).await?;
        ip::batch(Some(&state.outside.name), &lines.outside.replace(" add ", " del ")).await
    }

    /// The endpoint as it is goes on at another node, with its addresses and its connections.
    pub async fn migrate(&self, name: &str, to: &str) -> Result<()> {
        self.evict(name).await?;
        let mut state = self.state.lock().await;
        let index = state.index(name)?;
        let (number, node) = state.nodes.get(to).cloned().context("the lab has no such node")?;
        let endpoint = state.world.endpoints.get_mut(index).context("the endpoint has gone")?;
        endpoint.node = to.to_owned();
        let endpoint = endpoint.clone();
        let netns = state.places.get(&endpoint.id).context("the endpoint has no namespace")?;
        let lines = layout::endpoint(&endpoint, index, number, &netns.name);
        // What it left there when it was on that node before may not be gone yet.
        let again = |lines: &str| lines.replace("route add", "route replace");
        let again = |lines: &str| again(lines).replace("neigh add", "neigh replace");
        ip::batch(Some(&node.name), &again(&lines.node)).await?;
        ip::batch(Some(&state.outside.name), &again(&lines.outside)).await?;
        ip::batch(Some(&netns.name), &lines.endpoint).await
    }
}

impl State {
    /// Endpoints are numbered as they were made.
    fn index(&self, name: &str) -> Result<usize> {
        let index = self.world.endpoints.iter().position(|known| known.id.to_string() == name);
        index.with_context(|| format!("the lab has no endpoint `{name}`"))
    }
}
