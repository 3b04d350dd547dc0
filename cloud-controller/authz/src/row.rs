//! What a row of the table says.

use crate::kind::Kind;

/// How the decision is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Policies must allow every question.
    Policy,
    /// Every caller may, whatever policies say (GetCallerIdentity).
    Everybody,
    /// The resource's own policy has a say, which the handler has and this table has not: here only explicit denials
    /// count, and the handler decides in full (AssumeRole and trust policies).
    Handler,
}

/// The row of one operation.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The operation's name, which is that of the IAM action too.
    pub operation: &'static str,
    /// How it is decided.
    pub mode: Mode,
    /// The resources it touches; without any the question is about `*`.
    pub needs: &'static [Need],
}

/// Resources of one kind that an operation touches.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// What they are.
    pub kind: Kind,
    /// Which.
    pub source: Source,
    /// Condition keys that the request gives for these.
    pub keys: &'static [Key],
    /// The action, with its service, where it is not the operation's (`iam:PassRole`).
    pub action: Option<&'static str>,
}

/// Where a request says which resources are meant. Paths are those of parameters: `Filter.*.Value.*`.
#[derive(Debug, Clone, Copy)]
pub enum Source {
    /// Existing ones, by id, name or ARN; nothing is asked where none is given.
    At(&'static str),
    /// As [`Source::At`]; where this and the other paths give none, all of the kind are asked about: the operation picks one.
    Or(&'static str, &'static [&'static str]),
    /// One that is made, whose id is not known yet. Gets the tags of the request's specification for its kind.
    New,
    /// One that is made, with a path (parameter; by default `/`) and a name.
    Named(Option<&'static str>, &'static str),
    /// Existing ones of any EC2 kind, told by their ids.
    AnyKind(&'static str),
    /// The caller's own user where the parameter is not given.
    Own(&'static str),
    /// The role of the instance profile whose name or ARN is here.
    RoleOf(&'static str),
    /// What an association or attachment of this id is between: `kind` says which end.
    Linked(&'static str),
}

/// A condition key and where its values come from.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Name, as AWS writes it.
    pub name: &'static str,
    /// Values.
    pub from: From,
}

/// Where the values of a condition key come from.
#[derive(Debug, Clone, Copy)]
pub enum From {
    /// All values at this path.
    Param(&'static str),
    /// The value at this path, and this one where none is given.
    ParamOr(&'static str, &'static str),
    /// Always this.
    Is(&'static str),
}

/// A condition key out of a parameter.
pub(crate) const fn key(name: &'static str, path: &'static str) -> Key {
    Key { name, from: From::Param(path) }
}

impl Kind {
    const fn need(self, source: Source) -> Need {
        Need { kind: self, source, keys: &[], action: None }
    }

    pub(crate) const fn at(self, path: &'static str) -> Need {
        self.need(Source::At(path))
    }

    pub(crate) const fn or_any(self, path: &'static str, others: &'static [&'static str]) -> Need {
        self.need(Source::Or(path, others))
    }

    pub(crate) const fn made(self) -> Need {
        self.need(Source::New)
    }

    pub(crate) const fn named(self, path: Option<&'static str>, name: &'static str) -> Need {
        self.need(Source::Named(path, name))
    }

    pub(crate) const fn own(self, path: &'static str) -> Need {
        self.need(Source::Own(path))
    }

    pub(crate) const fn linked(self, path: &'static str) -> Need {
        self.need(Source::Linked(path))
    }
}

impl Need {
    /// With condition keys.
    pub(crate) const fn keys(mut self, keys: &'static [Key]) -> Self {
        self.keys = keys;
        self
    }

    /// Of another action.
    pub(crate) const fn action(mut self, action: &'static str) -> Self {
        self.action = Some(action);
        self
    }
}

/// The role that the instance profile at this path hands to an instance: who may do that is a question of its own.
pub(crate) const fn pass_role_of(path: &'static str) -> Need {
    crate::kind::ROLE.need(Source::RoleOf(path)).action(PASS_ROLE).keys(&[PASSED_TO_EC2])
}

/// The action that hands a role to a service.
pub(crate) const PASS_ROLE: &str = "iam:PassRole";
const PASSED_TO_EC2: Key = Key { name: "iam:PassedToService", from: From::Is("ec2.amazonaws.com") };

/// Rows of a file: `Operation: need, need;`, and `Operation;` where there is nothing but the action.
macro_rules! rows {
    ($($(@$mode:ident)? $name:ident $(: $($need:expr),+)?;)*) => {
        pub(crate) const ROWS: &[$crate::row::Row] = &[$($crate::row::Row {
            operation: stringify!($name),
            mode: $crate::row::rows!(@mode $($mode)?),
            needs: &[$($($need),+)?],
        }),*];
    };
    (@mode) => { $crate::row::Mode::Policy };
    (@mode $mode:ident) => { $crate::row::Mode::$mode };
}
pub(crate) use rows;
