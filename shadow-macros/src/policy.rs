//! The policy list: its words, and what generated code calls for each.
//!
//! In: the word in a declaration, and whether `(copy)` follows it. Out: the policy, and its names in the runtime. A new
//! policy is added here, and as one file in `accessor/`, unless one that is there serves it.

use proc_macro2::{Ident, Span};

/// What a field does when it is already attached, or is not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    Attach,
    GetOrAttach,
    GetOrUpdate,
    /// `get_or_update(copy)`.
    GetOrUpdateCopy,
}

impl Policy {
    /// Those that are one word.
    const WORD_ALONE: [Self; 3] = [Self::Attach, Self::GetOrAttach, Self::GetOrUpdate];

    /// How messages list the words.
    pub(crate) const WORDS: &'static str = "`attach`, `get_or_attach` or `get_or_update`";

    pub(crate) fn from_word(word: &Ident) -> Option<Self> {
        Self::WORD_ALONE.into_iter().find(|policy| word == policy.word())
    }

    /// This policy with `(copy)` behind its word, if there is such a one.
    pub(crate) fn of_copies(self) -> Option<Self> {
        (self == Self::GetOrUpdate).then_some(Self::GetOrUpdateCopy)
    }

    /// What declares it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::GetOrUpdateCopy => "get_or_update(copy)",
            _ => self.module(),
        }
    }

    /// The runtime's module of its accessors.
    pub(crate) const fn module(self) -> &'static str {
        match self {
            Self::Attach => "attach",
            Self::GetOrAttach => "get_or_attach",
            Self::GetOrUpdate => "get_or_update",
            Self::GetOrUpdateCopy => "get_or_update_copy",
        }
    }

    /// The runtime's cell, and its variant of this enum.
    pub(crate) fn cell(self) -> Ident {
        let name = match self {
            Self::Attach => "Attach",
            Self::GetOrAttach => "GetOrAttach",
            Self::GetOrUpdate => "GetOrUpdate",
            Self::GetOrUpdateCopy => "GetOrUpdateCopy",
        };
        Ident::new(name, Span::call_site())
    }

    /// The runtime's trait that says that a field has this policy.
    pub(crate) fn field_trait(self) -> Ident {
        let name = match self {
            Self::Attach => "AttachField",
            Self::GetOrAttach => "GetOrAttachField",
            Self::GetOrUpdate => "GetOrUpdateField",
            Self::GetOrUpdateCopy => "GetOrUpdateCopyField",
        };
        Ident::new(name, Span::call_site())
    }

    pub(crate) const fn takes_initialiser(self) -> bool {
        matches!(self, Self::GetOrAttach)
    }
}
