//! A view of one subtree of the parameters.

use super::{MAX_LIST_INDEX, Params};
use crate::error::ApiError;

/// One node of the parameter tree: the slice of parameters below one path.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    params: &'a Params,
    from: usize,
    to: usize,
    /// Bytes of the path that leads here (0 for the root), without a final dot.
    prefix: usize,
}

impl<'a> Node<'a> {
    pub(super) fn root(params: &'a Params) -> Self {
        Self { params, from: 0, to: params.len(), prefix: 0 }
    }

    /// The dotted path of this node, for error texts; empty for the root.
    #[must_use]
    pub fn path(&self) -> &'a str {
        if self.from < self.to { &self.params.name(self.from)[..self.prefix] } else { "" }
    }

    /// The last segment of the path.
    #[must_use]
    pub fn name(&self) -> &'a str {
        let path = self.path();
        path.rsplit_once('.').map_or(path, |(_, last)| last)
    }

    /// The path of a member of this node.
    #[must_use]
    pub fn path_of(&self, member: &str) -> String {
        match self.path() {
            "" => member.to_owned(),
            path => format!("{path}.{member}"),
        }
    }

    /// This node's own value, if it has one (`Name=value` rather than `Name.X=value`).
    #[must_use]
    pub fn own_value(&self) -> Option<&'a str> {
        (self.from < self.to && self.prefix > 0 && self.params.name(self.from).len() == self.prefix)
            .then(|| self.params.value(self.from))
    }

    /// The nodes one level down, in byte order of their segments.
    #[must_use]
    pub fn children(&self) -> Children<'a> {
        let skip = usize::from(self.own_value().is_some());
        Children { node: *self, at: self.from + skip }
    }

    /// A scalar: the own value, with nothing below.
    ///
    /// # Errors
    /// `UnknownParameter` for the first parameter below.
    pub fn scalar(&self) -> Result<&'a str, ApiError> {
        match (self.own_value(), self.children().next()) {
            (Some(value), None) => Ok(value),
            (_, Some(_)) => Err(ApiError::unknown_parameter(self.params.name(self.to - 1))),
            (None, None) => Ok(""),
        }
    }

    /// The nodes one level down for a structure; a structure has no value of its own.
    ///
    /// # Errors
    /// `UnknownParameter` if it has one that is not empty.
    pub fn members(&self) -> Result<Children<'a>, ApiError> {
        match self.own_value() {
            Some(value) if !value.is_empty() => Err(self.unknown()),
            _ => Ok(self.children()),
        }
    }

    /// The nodes of a list in the order of their indexes, which may have gaps. `Name=` is the empty list.
    ///
    /// # Errors
    /// `UnknownParameter` for a segment that is no index, `InvalidParameterValue` past [`MAX_LIST_INDEX`].
    pub fn items(&self) -> Result<Vec<Node<'a>>, ApiError> {
        let mut items: Vec<(u32, Node<'a>)> = Vec::new();
        for child in self.members()? {
            let name = child.name();
            let digits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
            if !digits || name.starts_with('0') {
                return Err(child.unknown());
            }
            match name.parse::<u32>() {
                Ok(i) if i <= MAX_LIST_INDEX => items.push((i, child)),
                _ => {
                    return Err(ApiError::invalid_value(
                        self.path(),
                        name,
                        &format!("A list index is at most {MAX_LIST_INDEX}."),
                    ));
                }
            }
        }
        items.sort_unstable_by_key(|(i, _)| *i);
        Ok(items.into_iter().map(|(_, node)| node).collect())
    }

    /// `UnknownParameter` naming this node's first full parameter.
    #[must_use]
    pub fn unknown(&self) -> ApiError {
        let name = if self.from < self.to { self.params.name(self.from) } else { "" };
        ApiError::unknown_parameter(&crate::texts::clip(name))
    }

    /// `MissingParameter` for a member of this node.
    #[must_use]
    pub fn missing(&self, member: &str) -> ApiError {
        ApiError::missing_parameter(&self.path_of(member))
    }

    /// `InvalidParameterValue` for this node's value.
    #[must_use]
    pub fn invalid(&self, why: &str) -> ApiError {
        ApiError::invalid_value(self.path(), self.own_value().unwrap_or_default(), why)
    }
}

/// Iterator over the nodes one level down.
#[derive(Debug, Clone)]
pub struct Children<'a> {
    node: Node<'a>,
    at: usize,
}

impl<'a> Iterator for Children<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        if self.at >= self.node.to {
            return None;
        }
        let params = self.node.params;
        let skip = if self.node.prefix == 0 { 0 } else { self.node.prefix + 1 };
        let first = params.name(self.at);
        let prefix = first[skip..].find('.').map_or(first.len(), |dot| skip + dot);
        let path = &first.as_bytes()[..prefix];
        let from = self.at;
        let mut to = from + 1;
        while to < self.node.to {
            let name = params.name(to).as_bytes();
            if name.len() < prefix || &name[..prefix] != path || !matches!(name.get(prefix), None | Some(b'.')) {
                break;
            }
            to += 1;
        }
        self.at = to;
        Some(Node { params, from, to, prefix })
    }
}
