//! Values of a request by the path of their parameters.

use mallee_awswire::{Node, Params};

/// The values at a path in which `*` stands for any list index, in the order of the parameters.
pub(crate) fn values<'a>(params: &'a Params, path: &str) -> Vec<&'a str> {
    if !path.contains('*') {
        return params.get(path).into_iter().collect();
    }
    let mut found = Vec::new();
    walk(params.root(), path, &mut found);
    found
}

fn walk<'a>(node: Node<'a>, path: &str, found: &mut Vec<&'a str>) {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    for child in node.children().filter(|child| first == "*" || child.name() == first) {
        if rest.is_empty() {
            found.extend(child.own_value());
        } else {
            walk(child, rest, found);
        }
    }
}

/// The nodes at a path without `*`, and below it one level down: the items of a list.
pub(crate) fn items<'a>(params: &'a Params, path: &str) -> Vec<Node<'a>> {
    let mut nodes = vec![params.root()];
    for segment in path.split('.') {
        nodes = nodes.iter().flat_map(Node::children).filter(|child| child.name() == segment).collect();
    }
    nodes.iter().flat_map(Node::children).collect()
}

/// The value of a member of a node.
pub(crate) fn member<'a>(node: &Node<'a>, name: &str) -> Option<&'a str> {
    node.children().find(|child| child.name() == name)?.own_value()
}
