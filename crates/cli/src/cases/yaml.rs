//! Cases in YAML (or JSON): `cases:` with a list of maps.

use bulkhead_api::manifest::{self, Diagnostic, Node, Scalar, Source, Tree, nearest};
use bulkhead_types::{Protocol, Selector};

use super::case::{self, Case, Port, Whom};

const FIELDS: [&str; 8] = ["name", "from", "to", "port", "protocol", "expect", "rule", "family"];

pub fn read(file: &str, text: &str) -> Result<Vec<Case>, Vec<Diagnostic>> {
    let documents = manifest::documents(file, text)?;
    let mut reader = Reader { file: file.into(), problems: Vec::new() };
    let mut cases = Vec::new();
    for root in documents.iter().filter(|root| !root.is_null()) {
        let list = match &root.tree {
            Tree::Map(entries) => {
                for (key, _) in entries.iter().filter(|(key, _)| key.text != "cases") {
                    let message = format!("unknown field `{}`: there is only `cases`", key.text);
                    reader.report((key.line, key.column), message);
                }
                root.get("cases")
            }
            _ => None,
        };
        match list.map(|list| &list.tree) {
            Some(Tree::List(items)) => {
                cases.extend(items.iter().filter_map(|item| reader.case(item)));
            }
            _ => {
                let message = "a file of cases is a map with a list `cases`".to_owned();
                reader.report((root.line, root.column), message);
            }
        }
    }
    if reader.problems.is_empty() { Ok(cases) } else { Err(reader.problems) }
}

struct Reader {
    file: std::sync::Arc<str>,
    problems: Vec<Diagnostic>,
}

impl Reader {
    fn source(&self, (line, column): (u32, u32)) -> Source {
        Source { file: self.file.clone(), line, column }
    }

    fn report(&mut self, at: (u32, u32), message: String) {
        let problem = Diagnostic::error("bad-case", self.source(at), message);
        self.problems.push(problem);
    }

    /// `None` where something was reported.
    fn case(&mut self, item: &Node) -> Option<Case> {
        let n_before = self.problems.len();
        let at = (item.line, item.column);
        let Tree::Map(entries) = &item.tree else {
            self.report(at, "a case is a map with `from`, `to`, `port` and `expect`".to_owned());
            return None;
        };
        for (key, _) in entries.iter().filter(|(key, _)| !FIELDS.contains(&key.text.as_str())) {
            let near = nearest(&key.text, FIELDS.into_iter());
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            self.report((key.line, key.column), format!("unknown field `{}`{hint}", key.text));
        }
        let protocol = self.protocol(item);
        let from = self.ends(item, "from");
        let to = self.ends(item, "to");
        let ports = self.ports(item, protocol);
        let expect = match item.get("expect").map(|node| (node, node.as_text())) {
            Some((node, Some(text))) => self.or_report(node, case::expect(text)),
            Some((node, None)) => {
                self.report((node.line, node.column), "`expect` is `allow` or `deny`".to_owned());
                None
            }
            None => {
                self.report(at, "the case has no `expect`: `allow` or `deny`".to_owned());
                None
            }
        };
        let family = match item.get("family").map(|node| (node, number(node))) {
            None => None,
            Some((_, Some(4))) => Some(4),
            Some((_, Some(6))) => Some(6),
            Some((node, _)) => {
                self.report((node.line, node.column), "`family` is 4 or 6".to_owned());
                None
            }
        };
        let text = |name: &str| item.get(name).and_then(Node::as_text).map(str::to_owned);
        let case = Case {
            source: self.source(at),
            name: text("name"),
            from,
            to,
            ports,
            family,
            expect: expect?,
            rule: text("rule"),
        };
        (self.problems.len() == n_before).then_some(case)
    }

    fn or_report<T>(&mut self, at: &Node, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.report((at.line, at.column), message)).ok()
    }

    fn protocol(&mut self, item: &Node) -> Option<Protocol> {
        let node = item.get("protocol")?;
        let text = match &node.tree {
            Tree::Scalar(Scalar::Text(text)) => text.clone(),
            Tree::Scalar(Scalar::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        self.or_report(node, text.parse::<Protocol>().map_err(|error| error.to_string()))
    }

    /// One, or a list: names, or maps with `namespace` and `selector`.
    fn ends(&mut self, item: &Node, name: &str) -> Vec<Whom> {
        let Some(node) = item.get(name) else {
            self.report((item.line, item.column), format!("the case has no `{name}`"));
            return Vec::new();
        };
        let all = match &node.tree {
            Tree::List(items) => items.iter().collect(),
            _ => vec![node],
        };
        if all.is_empty() {
            self.report((node.line, node.column), format!("`{name}` is empty"));
        }
        all.into_iter().filter_map(|node| self.end(node)).collect()
    }

    fn end(&mut self, node: &Node) -> Option<Whom> {
        match &node.tree {
            Tree::Scalar(Scalar::Text(text)) => self.or_report(node, case::whom(text)),
            Tree::Map(entries) => {
                let known = ["namespace", "selector"];
                let other = entries.iter().find(|(key, _)| !known.contains(&key.text.as_str()));
                if let Some((key, _)) = other {
                    let message = format!("unknown field `{}`: use namespace, selector", key.text);
                    self.report((key.line, key.column), message);
                }
                let text = |name: &str| node.get(name).and_then(Node::as_text);
                let selector = Selector::parse(text("selector").unwrap_or_default());
                let selector = selector.map_err(|error| error.to_string());
                let selector = self.or_report(node, selector)?;
                Some(Whom::All { namespace: text("namespace").map(str::to_owned), selector })
            }
            _ => {
                let message = "an end is text, or a map with namespace and selector".to_owned();
                self.report((node.line, node.column), message);
                None
            }
        }
    }

    fn ports(&mut self, item: &Node, protocol: Option<Protocol>) -> Vec<Port> {
        let Some(node) = item.get("port") else {
            let port = match protocol {
                Some(protocol) if !protocol.has_ports() => {
                    Ok(Port { protocol, port: None, icmp_type: None })
                }
                _ => Err("the case has no `port`: a number, `53/UDP` or `ICMP`".to_owned()),
            };
            return self.or_report(item, port).into_iter().collect();
        };
        let all = match &node.tree {
            Tree::List(items) => items.iter().collect(),
            _ => vec![node],
        };
        let mut ports = Vec::new();
        for node in all {
            let text = match &node.tree {
                Tree::Scalar(Scalar::Text(text)) => text.clone(),
                Tree::Scalar(Scalar::Number(number)) => number.to_string(),
                _ => String::new(),
            };
            ports.extend(self.or_report(node, case::port(&text, protocol)));
        }
        ports
    }
}

fn number(node: &Node) -> Option<u64> {
    match &node.tree {
        Tree::Scalar(Scalar::Number(number)) => number.as_u64(),
        _ => None,
    }
}
