//! The initialisers of a `raw::UpdateId<V>`: a first value, from a closure.
//!
//! In: an address and an initialiser. Out: a clone of the newest value, or a refusal. Neighbours: `update_id.rs`, the
//! methods without an initialiser; `field_lock.rs`, the init lock of a field; `update_table.rs`, the values.
//!
//! An initialiser runs under the init lock of the field (`init_lock/mod.rs`), as that of an `Id`. An update does not
//! acquire the lock, so a value may come while an initialiser runs. Then `UpdateTable` refuses the result of the
//! initialiser: the table, not the init lock, decides on the attached value.

use std::panic::Location;

use super::{Known, UpdateId};
use crate::error::AlreadyAttached;
use crate::host::SweepDeferred;
use crate::init_lock::{Circle, InitGuard, Request};
use crate::raw::field_lock::{FieldLock, find_or_lock, request};
use crate::raw::update_table::UpdateTable;
use crate::raw::{InitError, OutOfMemory, ids, table};

/// The result of an initialiser, while the field is attached.
struct Refused<V: 'static> {
    known: Known<V>,
    value: V,
    clone: V,
}

impl<V: Clone + Send + Sync + 'static> UpdateId<V> {
    /// A clone of the newest value of this field of `object`; on a miss, attaches the result of `init`, and returns a
    /// clone of the result.
    ///
    /// Of racing threads, one runs its initialiser at a time. No lock is held during `init`, and updates and detaches
    /// of the field do not wait for `init`. If an update attaches a value meanwhile, this value wins: the call returns
    /// a clone of it, and drops the result of `init`. If `init` or the clone of its result fails or panics, the call
    /// attaches nothing, and the next caller runs its own `init`. A hit takes no lock.
    ///
    /// ```
    /// use shadow_runtime::raw;
    ///
    /// const NAME: raw::UpdateId<String> = raw::UpdateId::new(2);
    ///
    /// let object = 0_u8;
    /// let key = (&raw const object).cast();
    /// // SAFETY: the object outlives its fields.
    /// unsafe {
    ///     assert!(NAME.get_or_attach(key, || Err("no name")).is_err());
    ///     assert_eq!(NAME.get_or_attach(key, || Ok::<_, ()>("first".into())).unwrap(), "first");
    ///     assert_eq!(NAME.get_or_attach(key, || Ok::<_, ()>("second".into())).unwrap(), "first");
    ///     assert_eq!(NAME.detach(key).unwrap().as_deref(), Some("first"));
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// The error of `init`; a mismatch if the number names another type or kind; a [`Circle`] if an initialiser
    /// requests the field that it initialises, itself or through a cycle of waiting threads; or [`OutOfMemory`] if
    /// there is no memory for the field, or for the clone's hazard slot. On a mismatch `init` has not run, unless a
    /// first attach bound the number during `init`. On a cycle `init` has not run.
    ///
    /// # Panics
    ///
    /// If `init`, `Clone` or a destructor panics.
    ///
    /// # Safety
    ///
    /// The object outlives the field. See [the module](crate::raw#what-the-caller-promises).
    pub unsafe fn get_or_attach<E>(
        self,
        object: *const (),
        init: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, InitError<E>> {
        if let Some(known) = self.known().map_err(InitError::TypeMismatch)? {
            if let Some(there) = known.table.inspect(object.addr(), V::clone)? {
                return Ok(there);
            }
        }
        let request = request(object, self.number);
        // Dropped after the lock, also if `init` panics.
        let _sweep_deferred = SweepDeferred;
        let guard = loop {
            // SAFETY: the request is new, or an earlier call has returned no guard. The guard is a local variable,
            // which `attach_result` drops.
            match unsafe { self.init_lock(object, &request) }.map_err(InitError::Circle)? {
                FieldLock::Empty(guard) => break guard,
                // Without a value, a detach came between: the loop requests the lock again.
                FieldLock::Attached(known) => {
                    if let Some(there) = known.table.inspect(object.addr(), V::clone)? {
                        return Ok(there);
                    }
                }
            }
        };
        let Refused { known, mut value, clone } = match self.attach_result(guard, object, init)? {
            Ok(clone) => return Ok(clone),
            Err(refused) => refused,
        };
        // An update has attached a value, which a detach may remove again before this thread reads the value.
        loop {
            if let Some(there) = known.table.inspect(object.addr(), V::clone)? {
                // `there` is still a local variable if a destructor panics. A return value would leak.
                drop((value, clone));
                return Ok(there);
            }
            match known.try_attach(object.addr(), value) {
                Ok(()) => return Ok(clone),
                Err((refused, table::Refused::IsAttached)) => value = refused,
                Err((_, table::Refused::OutOfMemory)) => return Err(OutOfMemory.into()),
            }
        }
    }

    /// Attaches the result of `init` to `object`, and returns a clone, unless the object has this field. A refusal logs
    /// a warning with the place of the call.
    ///
    /// `init` runs only if the field is empty, at most one initialiser of the field at a time, and under no lock.
    /// Updates and detaches of the field do not wait for `init`. If an update attaches a value meanwhile, the call is
    /// refused, too, and drops the result of `init`. So an `Ok` means that this call has attached the value.
    ///
    /// ```
    /// use shadow_runtime::raw::{self, InitError};
    ///
    /// const NAME: raw::UpdateId<&str> = raw::UpdateId::new(2);
    ///
    /// let object = 0_u8;
    /// let key = (&raw const object).cast();
    /// // SAFETY: the object outlives its fields.
    /// unsafe {
    ///     assert_eq!(NAME.attach_with(key, || Ok::<_, ()>("first")).unwrap(), "first");
    ///     let refused = NAME.attach_with(key, || Ok::<_, ()>("second")).unwrap_err();
    ///     assert!(matches!(refused, InitError::AlreadyAttached(_)));
    ///     assert_eq!(NAME.detach(key).unwrap(), Some("first"));
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InitError::AlreadyAttached`] if the field is attached, before or after `init`. The other errors are those of
    /// [`get_or_attach`](Self::get_or_attach).
    ///
    /// # Panics
    ///
    /// If `init`, `Clone` or a destructor panics.
    ///
    /// # Safety
    ///
    /// The object outlives the field. See [the module](crate::raw#what-the-caller-promises).
    #[track_caller]
    pub unsafe fn attach_with<E>(
        self,
        object: *const (),
        init: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, InitError<E>> {
        let place = Location::caller();
        let refuse = |known: Known<V>| {
            InitError::AlreadyAttached(AlreadyAttached::refuse(&known.registration.field, (), None, place))
        };
        self.known().map_err(InitError::TypeMismatch)?;
        let request = request(object, self.number);
        // Dropped after the lock, also if `init` panics.
        let _sweep_deferred = SweepDeferred;
        // SAFETY: the request is new. The guard is a local variable, which `attach_result` drops.
        let guard = match unsafe { self.init_lock(object, &request) }.map_err(InitError::Circle)? {
            FieldLock::Empty(guard) => guard,
            FieldLock::Attached(known) => return Err(refuse(known)),
        };
        match self.attach_result(guard, object, init)? {
            Ok(clone) => Ok(clone),
            Err(Refused { known, value, clone }) => {
                drop((value, clone));
                Err(refuse(known))
            }
        }
    }

    /// Finds the field, or acquires the init lock of the empty field.
    ///
    /// # Errors
    ///
    /// If a wait for the lock would be a deadlock.
    ///
    /// # Safety
    ///
    /// The request has no guard, and the returned guard is dropped before the request moves or goes (I3).
    unsafe fn init_lock(self, object: *const (), request: &Request) -> Result<FieldLock<'_, Known<V>>, Circle> {
        let find = || self.known().ok().flatten().filter(|known| known.table.has(object.addr()));
        // SAFETY: the contract is the same.
        unsafe { find_or_lock(request, find) }
    }

    /// Runs `init`, attaches the result, and releases the init lock. Returns a clone of the result; or the result, if
    /// the field is attached by now.
    fn attach_result<E>(
        self,
        guard: InitGuard<'_>,
        object: *const (),
        init: impl FnOnce() -> Result<V, E>,
    ) -> Result<Result<V, Refused<V>>, InitError<E>> {
        // Cloned before the attach: from the attach on, a detach may remove the value.
        let made = init().map(|value| (value.clone(), value));
        let (clone, value) = match made {
            Ok(made) => made,
            Err(error) => {
                drop(guard);
                return Err(InitError::Init(error));
            }
        };
        let refused = match ids::try_register::<UpdateTable<V>>(self.number.number, self.id_type()) {
            Ok(Ok(known)) => match known.try_attach(object.addr(), value) {
                Ok(()) => None,
                Err((value, table::Refused::IsAttached)) => Some((value, Ok(known))),
                Err((value, table::Refused::OutOfMemory)) => Some((value, Err(OutOfMemory.into()))),
            },
            Ok(Err(mismatch)) => Some((value, Err(InitError::TypeMismatch(mismatch)))),
            Err(none) => Some((value, Err(none.into()))),
        };
        // The lock is released before the drop of a refused value, and before values that a sweep drops: their
        // destructors may use this field.
        drop(guard);
        let Some((value, known)) = refused else { return Ok(Ok(clone)) };
        Ok(Err(Refused { known: known?, value, clone }))
    }
}
