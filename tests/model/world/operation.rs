//! The operations on hosts and fields, as data.
//!
//! In: bytes or proptest, which may make any operation. Out: operations for the world. The world skips an operation
//! that is impossible for its host, such as a detach from an `Arc`.

use arbitrary::Arbitrary;

use super::value::Temper;

/// The number of hosts of a world: few, so that operations meet.
pub(crate) const PLACES: u8 = 4;

/// The place of a host: an index modulo [`PLACES`].
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

/// Each kind of host has three declarations. A declaration has a field of each policy, in an order of its own.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Declaration {
    First,
    Second,
    Third,
}

/// The policy of a field, unique in a declaration.
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

/// An action through a shared reference, which user code can also execute inside of an initialiser or a closure.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) struct Access {
    pub(crate) place: Place,
    pub(crate) declaration: Declaration,
    pub(crate) act: Act,
}

#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum Act {
    /// `f`, or `peek_f` of a `get_or_attach` field.
    Read(Policy),
    /// `attach_f`.
    Attach(Temper),
    /// A request for a `get_or_attach` field.
    Make(Way, Init),
    /// `update_f` of `get_or_update`, or with `true` of `get_or_update(copy)`.
    Update { copy: bool, temper: Temper },
    /// `update_f_with` of either policy, or `try_update_f_with`, if the closure may refuse.
    UpdateWith { copy: bool, next: Next },
    /// `take_f` of `get_or_update`; a detach of a raw field.
    Take,
}

/// The accessor of a `get_or_attach` field.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// `f`, with the declared initialiser, which only makes a value or panics.
    Declared,
    /// `get_or_attach_f`, whose initialiser panics in place of a failure.
    Given,
    /// `get_or_try_attach_f`.
    Fallible,
}

/// The action of an initialiser.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum Init {
    Makes(Temper),
    Fails,
    Panics,
    /// Requests the initialiser's own field, and then makes a value.
    AsksItself,
    /// Uses a field, and then makes a value.
    Uses(Box<Access>),
}

/// The action of the closure of an update.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum Next {
    Makes(Temper),
    Panics,
    /// Updates the closure's own field, which the library refuses, and then makes a value.
    Interferes,
    /// Uses a field, and then makes a value.
    Uses(Box<Access>),
    /// Returns an error.
    Refuses,
    /// Uses a field, and then returns an error.
    UsesAndRefuses(Box<Access>),
}

#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum Operation {
    Access(Access),
    /// Makes a host. Each operation that fills a place first drops the place's host.
    Make(Place, Kind),
    Drop(Place),
    /// Clones a host to a second place.
    Clone(Place, Place),
    /// Makes an `Arc<dyn Named>` from an `Arc<Node>`, in a second place.
    View(Place, Place),
    /// Exchanges two hosts, which moves the hosts.
    Swap(Place, Place),
    /// `mem::swap` of the `ShadowFields` of two structs.
    SwapFields(Place, Place),
    /// `mem::take` of a host to a second place.
    Take(Place, Place),
    /// `Shadowed::into_inner`, `Arc::try_unwrap`.
    Unwrap(Place),
    /// `Arc::make_mut`.
    MakeMut(Place),
    /// `f_mut`, and an exchange of the value.
    Mutate(Place, Field, Temper),
    /// `detach_f`.
    Detach(Place, Field),
    /// `raw::detach_object`.
    DetachObject(Place),
    /// `detach_all` of a raw field, with a closure that may panic.
    DetachAll {
        field: Field,
        panics: bool,
    },
    /// Uses the number of a raw field with a different type.
    Clash(Place, Field),
    /// `detach_all` of an `Arc`.
    DetachAllOfArc(Place),
    /// `hosts` of each type of `Arc`.
    ListHosts,
    Sweep,
    /// Checks the report of the registry, and the `Debug` output of hosts.
    Report,
}
