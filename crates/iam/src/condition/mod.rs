//! Conditions: operators, their values, and whether they hold.

mod operand;
mod operator;
mod scalar;

pub(crate) use operand::Operand;
pub(crate) use operator::{Compare, Operator};

use crate::context::Context;
use crate::policy::Effect;

/// How an operator takes a key of many values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantifier {
    /// No prefix.
    Single,
    /// `ForAllValues:`; also holds when the key is absent.
    All,
    /// `ForAnyValue:`; does not hold when the key is absent.
    Any,
}

/// One key of one operator of a `Condition`.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    pub(crate) operator: Operator,
    pub(crate) quantifier: Quantifier,
    pub(crate) if_exists: bool,
    /// As it is compared.
    pub(crate) key: Box<str>,
    /// As written.
    pub(crate) written: Box<str>,
    pub(crate) operands: Vec<Operand>,
}

impl Condition {
    /// Whether it holds for these keys, in a statement of this effect.
    ///
    /// A variable without value matches nothing; and it never lets a negated operator widen what is allowed or narrow
    /// what is denied.
    pub(crate) fn holds(&self, context: &Context, effect: Effect) -> bool {
        let values = context.lookup(&self.key);
        if self.operator == Operator::Null {
            return self
                .operands
                .iter()
                .any(|operand| matches!(operand, Operand::Bool(absent) if *absent == values.is_empty()));
        }
        let negated = self.operator.is_negated();
        if values.is_empty() {
            return self.if_exists
                || match self.quantifier {
                    Quantifier::Single => negated,
                    Quantifier::All => true,
                    Quantifier::Any => false,
                };
        }
        let unresolved = negated && effect != Effect::Deny;
        let matches = |value: &String| {
            self.operands.iter().any(|operand| operand.matches(self.operator, value, context).unwrap_or(unresolved))
        };
        match self.quantifier {
            Quantifier::Single => values.iter().any(matches) != negated,
            Quantifier::All => values.iter().all(|value| matches(value) != negated),
            Quantifier::Any => values.iter().any(|value| matches(value) != negated),
        }
    }

    /// Calls for its key and those of its variables, as written.
    pub(crate) fn each_key(&self, f: &mut dyn FnMut(&str)) {
        f(&self.written);
        for operand in &self.operands {
            operand.each_key(f);
        }
    }
}
