//! The policy list: its words, and what generated code calls for each.
//!
//! In: the word in a declaration. Out: the policy, and its names in the runtime. A new policy is added here, and as one
//! file in `accessor/`.

use proc_macro2::{Ident, Span};

/// What a field does when it is already attached, or is not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    Attach,
    GetOrAttach,
    GetOrUpdate,
}

impl Policy {
    const ALL: [Self; 3] = [Self::Attach, Self::GetOrAttach, Self::GetOrUpdate];

    /// How messages list the words.
    pub(crate) const WORDS: &'static str = "`attach`, `get_or_attach` or `get_or_update`";

    pub(crate) fn from_word(word: &Ident) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| word == policy.word())
    }

    /// The word that declares it; also the runtime's module of its accessors.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Attach => "attach",
            Self::GetOrAttach => "get_or_attach",
            Self::GetOrUpdate => "get_or_update",
        }
    }

    /// The runtime's cell, and its variant of this enum.
    pub(crate) fn cell(self) -> Ident {
        let name = match self {
            Self::Attach => "Attach",
            Self::GetOrAttach => "GetOrAttach",
            Self::GetOrUpdate => "GetOrUpdate",
        };
        Ident::new(name, Span::call_site())
    }

    /// The runtime's trait that says that a field has this policy.
    pub(crate) fn field_trait(self) -> Ident {
        let name = match self {
            Self::Attach => "AttachField",
            Self::GetOrAttach => "GetOrAttachField",
            Self::GetOrUpdate => "GetOrUpdateField",
        };
        Ident::new(name, Span::call_site())
    }

    pub(crate) const fn takes_initialiser(self) -> bool {
        matches!(self, Self::GetOrAttach)
    }
}
