//! The policy list: the words of each policy, and the names of its items in the runtime.
//!
//! In: the word of a declaration, and whether `(copy)` follows. Out: the policy, and the names of its items in the
//! runtime. Neighbours: `parse/field.rs`, which parses the word; `accessor/`, with the accessors of each policy;
//! `policy.rs` of the runtime, the same list. A new policy is a variant here, and a file in `accessor/`, unless an
//! existing file serves the policy.

use proc_macro2::{Ident, Span};

/// The behaviour of a field with a value, and of a field without a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    Attach,
    GetOrAttach,
    GetOrUpdate,
    /// `get_or_update(copy)`.
    GetOrUpdateCopy,
}

impl Policy {
    /// The policies of one word.
    const WORD_ALONE: [Self; 3] = [Self::Attach, Self::GetOrAttach, Self::GetOrUpdate];

    /// The list of the words, for messages.
    pub(crate) const WORDS: &'static str = "`attach`, `get_or_attach`, `get_or_update` or `get_or_update(copy)`";

    pub(crate) fn from_word(word: &Ident) -> Option<Self> {
        Self::WORD_ALONE.into_iter().find(|policy| word == policy.word())
    }

    /// The policy of this word with `(copy)`, if such a policy exists.
    pub(crate) fn of_copies(self) -> Option<Self> {
        (self == Self::GetOrUpdate).then_some(Self::GetOrUpdateCopy)
    }

    /// The source text of the policy.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::GetOrUpdateCopy => "get_or_update(copy)",
            _ => self.module(),
        }
    }

    /// The name of the runtime's module with the accessors.
    pub(crate) const fn module(self) -> &'static str {
        match self {
            Self::Attach => "attach",
            Self::GetOrAttach => "get_or_attach",
            Self::GetOrUpdate => "get_or_update",
            Self::GetOrUpdateCopy => "get_or_update_copy",
        }
    }

    /// The name of the runtime's cell, and of the variant of the runtime's `Policy`.
    pub(crate) fn cell(self) -> Ident {
        let name = match self {
            Self::Attach => "Attach",
            Self::GetOrAttach => "GetOrAttach",
            Self::GetOrUpdate => "GetOrUpdate",
            Self::GetOrUpdateCopy => "GetOrUpdateCopy",
        };
        Ident::new(name, Span::call_site())
    }

    /// The name of the runtime's trait for fields of this policy.
    pub(crate) fn field_trait(self) -> Ident {
        let name = match self {
            Self::Attach => "AttachField",
            Self::GetOrAttach => "GetOrAttachField",
            Self::GetOrUpdate => "GetOrUpdateField",
            Self::GetOrUpdateCopy => "GetOrUpdateCopyField",
        };
        Ident::new(name, Span::call_site())
    }

    /// The runtime's bound for the value of a field with `#[shadow(clone)]`, and the function of the bound that clones.
    pub(crate) const fn clone_bound(self) -> (&'static str, &'static str) {
        match self {
            Self::Attach | Self::GetOrAttach | Self::GetOrUpdate => ("CarriedValue", "clone_carried"),
            Self::GetOrUpdateCopy => ("CopyValue", "copy_value"),
        }
    }

    pub(crate) const fn takes_initialiser(self) -> bool {
        matches!(self, Self::GetOrAttach)
    }
}
