//! The language of the model: what can be done to hosts and their fields, as data.
//!
//! Whoever makes operations, makes any at all: what cannot be done where it is to be done, such as a detach from an
//! `Arc`, is passed over by the world.

use arbitrary::Arbitrary;

use super::value::Temper;

/// How many hosts a world holds at a time: few, so that operations meet.
pub(crate) const PLACES: u8 = 4;

/// Where a host is; one of [`PLACES`], by its remainder.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(pub(crate) u8);

impl Place {
    pub(crate) fn index(self) -> usize {
        usize::from(self.0 % PLACES)
    }
}

/// A kind of host.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A struct that embeds its fields.
    Task,
    /// A `Shadowed<Value>`.
    Owned,
    /// An `Arc<Node>`.
    Node,
    /// An `Arc<dyn Named>`.
    Named,
    /// An `Arc<str>`.
    Text,
    /// A `&'static Config`.
    Fixed,
    /// An address.
    Raw,
}

/// Each kind of host has three declarations, with a field of each policy, in another order.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Declaration {
    First,
    Second,
    Third,
}

/// The field of a declaration that has this policy.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Policy {
    Once,
    Made,
    Newest,
    Copied,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Field {
    pub(crate) declaration: Declaration,
    pub(crate) policy: Policy,
}

/// What needs no exclusive access, so that code of the user can do it inside of what it does otherwise.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) struct Access {
    pub(crate) place: Place,
    pub(crate) declaration: Declaration,
    pub(crate) act: Act,
}

#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum Act {
    /// `f` of a field that is there or not; `peek_f` of `get_or_attach`.
    Read(Policy),
    /// `attach_f`.
    Attach(Temper),
    /// Asks for a `get_or_attach` field.
    Make(Way, Init),
    /// `update_f` of `get_or_update`, or with `true` of `get_or_update(copy)`.
    Update { copy: bool, temper: Temper },
    /// `update_f_with` of either.
    UpdateWith { copy: bool, next: Next },
}

/// Which accessor asks for a `get_or_attach` field.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// `f`, whose initialiser makes a value or panics, and does nothing else.
    Declared,
    /// `get_or_attach_f`, whose initialiser panics where it would fail.
    Given,
    /// `get_or_try_attach_f`.
    Fallible,
}

/// What an initialiser does.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum Init {
    Makes(Temper),
    Fails,
    Panics,
    /// Asks for the field that it initialises, and then makes a value.
    AsksItself,
    /// Uses a field, and then makes a value.
    Uses(Box<Access>),
}

/// What the closure of an update does.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum Next {
    Makes(Temper),
    Panics,
    /// Updates the field itself, which is refused, and then makes a value.
    Interferes,
    /// Uses a field, and then makes a value.
    Uses(Box<Access>),
}

#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum Operation {
    Access(Access),
    /// Makes a host, in place of what was there, as each operation that fills a place does.
    Make(Place, Kind),
    Drop(Place),
    /// Clones a host to another place.
    Clone(Place, Place),
    /// Makes an `Arc<dyn Named>` of an `Arc<Node>` to another place.
    View(Place, Place),
    /// Two hosts move.
    Swap(Place, Place),
    /// `mem::swap` of the `ShadowFields` of two structs.
    SwapFields(Place, Place),
    /// `mem::take` of a host to another place.
    Take(Place, Place),
    /// `Shadowed::into_inner`, `Arc::try_unwrap`.
    Unwrap(Place),
    /// `Arc::make_mut`.
    MakeMut(Place),
    /// `f_mut`, by which the value is exchanged.
    Mutate(Place, Field, Temper),
    /// `detach_f`.
    Detach(Place, Field),
    /// `raw::detach_object`.
    DetachObject(Place),
    /// `detach_all` of a raw field, whose closure may panic.
    DetachAll {
        field: Field,
        panics: bool,
    },
    /// Uses a number of a raw field for another type.
    Clash(Place, Field),
    Sweep,
    /// Looks at the report of the registry, and at what hosts print.
    Report,
}
