// The golden expansion: the struct `Task` of the README, as the macros expand it. Generated: do not edit.
//
// `shadow-macros/src/golden.rs` compares this file with the expansion of today, and writes the file:
// `SHADOW_GOLDEN=overwrite cargo test -p shadow-macros golden`. `golden.rs` includes this file, and runs the code.

use std::sync::Mutex;
use std::time::Instant;

use shadow_runtime::ShadowFields;

#[derive(Default)]
struct Stats {
    started_by: u32,
}

#[derive(Clone, Debug, PartialEq)]
struct Task {
    pid: u32,
    shadow: ShadowFields, // 8 bytes, and no allocation before the first attach
}

// #[derive(Shadow)]

const _: () = {
    use ::shadow_runtime::__private as __rt;
    mod write_attribute_shadow_crate_path {}
    const _: fn() = {
        use __rt::*;
        write_attribute_shadow_crate_path
    };
    #[automatically_derived]
    impl __rt::embedded::Embeds for Task {
        #[inline]
        fn fields(__host: &Self) -> &__rt::ShadowFields {
            __rt::embedded::exactly(&__host.shadow)
        }
    }
    #[automatically_derived]
    unsafe impl __rt::Host for Task {
        #[inline]
        fn find<__S: __rt::FieldSet + 'static>(__host: &Self) -> ::core::option::Option<__rt::Found<'_, __S>> {
            __rt::embedded::find(__host)
        }
        #[inline]
        fn find_or_insert<__S: __rt::FieldSet + 'static>(__host: &Self) -> &__S {
            __rt::embedded::find_or_insert(__host)
        }
        #[inline]
        fn new_first<__S: __rt::FieldSet + 'static>(__host: &Self) -> ::core::option::Option<__rt::Unpublished<__S>> {
            __rt::embedded::new_first(__host)
        }
        #[inline]
        unsafe fn insert_first<__S: __rt::FieldSet + 'static>(
            __host: &Self,
            __new: __rt::Unpublished<__S>,
        ) -> ::core::result::Result<&__S, __rt::Unpublished<__S>> {
            unsafe { __rt::embedded::insert_first(__host, __new) }
        }
        #[inline]
        fn identity(__host: &Self) -> __rt::Identity {
            __rt::embedded::identity(__host)
        }
        #[inline]
        fn fields_mut(__host: &mut Self) -> ::core::option::Option<&mut __rt::ShadowFields> {
            ::core::option::Option::Some(&mut __host.shadow)
        }
    }
    #[automatically_derived]
    impl __rt::ExclusiveHost for Task {}
    struct __Declaration;
    #[repr(C)]
    pub struct __FieldSet_A_newpid_GOA_lock_GOA_stats_GOU_last_seen<__V0, __V1, __V2, __V3> {
        newpid: __rt::Attach<__V0>,
        lock: __rt::GetOrAttach<__V1>,
        stats: __rt::GetOrAttach<__V2>,
        last_seen: __rt::GetOrUpdate<__V3>,
    }
    #[automatically_derived]
    unsafe impl<__V0, __V1, __V2, __V3> __rt::FieldSet
        for __FieldSet_A_newpid_GOA_lock_GOA_stats_GOU_last_seen<__V0, __V1, __V2, __V3>
    {
        unsafe fn init(__place: *mut Self) {
            unsafe { __rt::Attach::init(&raw mut (*__place).newpid) };
            unsafe { __rt::GetOrAttach::init(&raw mut (*__place).lock) };
            unsafe { __rt::GetOrAttach::init(&raw mut (*__place).stats) };
            unsafe { __rt::GetOrUpdate::init(&raw mut (*__place).last_seen) };
        }
        fn fields() -> &'static [__rt::Field] {
            static FIELDS: [__rt::Field; 4usize] = [
                __rt::Field::new(
                    ::core::module_path!(),
                    "Task",
                    "newpid",
                    "u32",
                    __rt::Policy::Attach,
                    ::core::option::Option::Some(::core::mem::size_of::<u32>()),
                ),
                __rt::Field::new(
                    ::core::module_path!(),
                    "Task",
                    "lock",
                    "Mutex<()>",
                    __rt::Policy::GetOrAttach,
                    ::core::option::Option::Some(::core::mem::size_of::<Mutex<()>>()),
                ),
                __rt::Field::new(
                    ::core::module_path!(),
                    "Task",
                    "stats",
                    "Stats",
                    __rt::Policy::GetOrAttach,
                    ::core::option::Option::Some(::core::mem::size_of::<Stats>()),
                ),
                __rt::Field::new(
                    ::core::module_path!(),
                    "Task",
                    "last_seen",
                    "Instant",
                    __rt::Policy::GetOrUpdate,
                    ::core::option::Option::Some(::core::mem::size_of::<Instant>()),
                ),
            ];
            &FIELDS
        }
        fn each(&self, __visit: &mut dyn ::core::ops::FnMut(&dyn __rt::FieldCell)) {
            __visit(&self.newpid);
            __visit(&self.lock);
            __visit(&self.stats);
            __visit(&self.last_seen);
        }
        fn each_mut(&mut self, __visit: &mut dyn ::core::ops::FnMut(&mut dyn __rt::FieldCell)) {
            __visit(&mut self.newpid);
            __visit(&mut self.lock);
            __visit(&mut self.stats);
            __visit(&mut self.last_seen);
        }
    }
    #[automatically_derived]
    impl __rt::Declares<__Declaration> for Task {
        type Set = __FieldSet_A_newpid_GOA_lock_GOA_stats_GOU_last_seen<u32, Mutex<()>, Stats, Instant>;
    }
    #[automatically_derived]
    unsafe impl __rt::AttachField<__Declaration, 0> for Task {
        type Value = u32;
        #[inline]
        fn cell(__set: &<Self as __rt::Declares<__Declaration>>::Set) -> &__rt::Attach<Self::Value> {
            &__set.newpid
        }
        #[inline]
        fn cell_mut(__set: &mut <Self as __rt::Declares<__Declaration>>::Set) -> &mut __rt::Attach<Self::Value> {
            &mut __set.newpid
        }
    }
    #[automatically_derived]
    unsafe impl __rt::GetOrAttachField<__Declaration, 1> for Task {
        type Value = Mutex<()>;
        #[inline]
        fn cell(__set: &<Self as __rt::Declares<__Declaration>>::Set) -> &__rt::GetOrAttach<Self::Value> {
            &__set.lock
        }
        #[inline]
        fn cell_mut(__set: &mut <Self as __rt::Declares<__Declaration>>::Set) -> &mut __rt::GetOrAttach<Self::Value> {
            &mut __set.lock
        }
    }
    #[automatically_derived]
    unsafe impl __rt::GetOrAttachField<__Declaration, 2> for Task {
        type Value = Stats;
        #[inline]
        fn cell(__set: &<Self as __rt::Declares<__Declaration>>::Set) -> &__rt::GetOrAttach<Self::Value> {
            &__set.stats
        }
        #[inline]
        fn cell_mut(__set: &mut <Self as __rt::Declares<__Declaration>>::Set) -> &mut __rt::GetOrAttach<Self::Value> {
            &mut __set.stats
        }
    }
    #[automatically_derived]
    unsafe impl __rt::GetOrUpdateField<__Declaration, 3> for Task {
        type Value = Instant;
        #[inline]
        fn cell(__set: &<Self as __rt::Declares<__Declaration>>::Set) -> &__rt::GetOrUpdate<Self::Value> {
            &__set.last_seen
        }
        #[inline]
        fn cell_mut(__set: &mut <Self as __rt::Declares<__Declaration>>::Set) -> &mut __rt::GetOrUpdate<Self::Value> {
            &mut __set.last_seen
        }
    }
    #[allow(clippy::impl_trait_in_params, reason = "it reads better in the docs")]
    impl Task {
        #[doc = "Borrows the value of shadow field `newpid`, if a value is attached."]
        #[doc(alias = "get_newpid")]
        #[doc(alias = "peek_newpid")]
        #[inline]
        pub fn newpid(&self) -> ::core::option::Option<&u32> where {
            __rt::attach::get::<__Declaration, 0, _>(self)
        }
        #[doc = "Attaches `value` to shadow field `newpid`, and borrows the attached value."]
        #[doc = ""]
        #[doc = "# Errors\n\nIf a value is attached already: the error returns `value`."]
        #[doc(alias = "set_newpid")]
        #[doc(alias = "update_newpid")]
        #[doc(alias = "get_or_attach_newpid")]
        #[inline]
        #[track_caller]
        pub fn attach_newpid(&self, value: u32) -> ::core::result::Result<&u32, __rt::AlreadyAttached<u32>> where {
            __rt::attach::attach::<__Declaration, 0, _>(self, value)
        }
        #[doc = "Borrows the value of shadow field `newpid` exclusively, if a value is attached."]
        #[inline]
        pub fn newpid_mut(&mut self) -> ::core::option::Option<&mut u32> where {
            __rt::attach::get_mut::<__Declaration, 0, _>(self)
        }
        #[doc = "Detaches and returns the value of shadow field `newpid`, if a value is attached."]
        #[doc(alias = "take_newpid")]
        #[doc(alias = "remove_newpid")]
        #[inline]
        pub fn detach_newpid(&mut self) -> ::core::option::Option<u32> where {
            __rt::attach::detach::<__Declaration, 0, _>(self)
        }
        #[doc = "Borrows the value of shadow field `lock`; attaches the initial value first, if no value is attached."]
        #[doc = ""]
        #[doc = "# Panics\n\nIf the initialiser panics, or requests this field itself."]
        #[doc(alias = "get_lock")]
        #[inline]
        #[track_caller]
        pub fn lock(&self) -> &Mutex<()> where {
            __rt::get_or_attach::get_or_attach::<__Declaration, 1, _>(self, || {
                <Mutex<()> as __rt::InitialValue>::initial()
            })
        }
        #[doc = "Borrows the value of shadow field `lock`, if a value is attached. Attaches no value."]
        #[inline]
        pub fn peek_lock(&self) -> ::core::option::Option<&Mutex<()>> where {
            __rt::get_or_attach::peek::<__Declaration, 1, _>(self)
        }
        #[doc = "Borrows the value of shadow field `lock`; attaches the result of `init` first, if no value is attached."]
        #[doc = ""]
        #[doc = "# Panics\n\nIf `init` panics, or requests this field itself."]
        #[doc(alias = "attach_lock")]
        #[doc(alias = "set_lock")]
        #[doc(alias = "update_lock")]
        #[inline]
        #[track_caller]
        pub fn get_or_attach_lock(&self, init: impl ::core::ops::FnOnce() -> Mutex<()>) -> &Mutex<()> where {
            __rt::get_or_attach::get_or_attach::<__Declaration, 1, _>(self, init)
        }
        #[doc = "Borrows the value of shadow field `lock`; attaches the value of `init` first, if no value is attached."]
        #[doc = ""]
        #[doc = "# Errors\n\nIf `init` fails: returns the error of `init`, and attaches no value.\n\n# Panics\n\nIf `init` panics, or requests this field itself."]
        #[inline]
        #[track_caller]
        pub fn get_or_try_attach_lock<E>(
            &self,
            init: impl ::core::ops::FnOnce() -> ::core::result::Result<Mutex<()>, E>,
        ) -> ::core::result::Result<&Mutex<()>, E> where {
            __rt::get_or_attach::get_or_try_attach::<__Declaration, 1, _, _>(self, init)
        }
        #[doc = "Borrows the value of shadow field `lock` exclusively; attaches the initial value first, if no value is attached."]
        #[doc = ""]
        #[doc = "# Panics\n\nIf the initialiser panics, or requests this field itself."]
        #[inline]
        pub fn lock_mut(&mut self) -> &mut Mutex<()> where {
            let _ = Self::lock(self);
            __rt::get_or_attach::get_mut::<__Declaration, 1, _>(self)
        }
        #[doc = "Detaches and returns the value of shadow field `lock`, if a value is attached."]
        #[doc(alias = "take_lock")]
        #[doc(alias = "remove_lock")]
        #[inline]
        pub fn detach_lock(&mut self) -> ::core::option::Option<Mutex<()>> where {
            __rt::get_or_attach::detach::<__Declaration, 1, _>(self)
        }
        #[doc = "Borrows the value of shadow field `stats`; attaches the initial value first, if no value is attached."]
        #[doc = ""]
        #[doc = "# Panics\n\nIf the initialiser panics, or requests this field itself."]
        #[doc(alias = "get_stats")]
        #[inline]
        #[track_caller]
        fn stats(&self) -> &Stats where {
            __rt::get_or_attach::get_or_attach::<__Declaration, 2, _>(self, || Stats { started_by: self.pid })
        }
        #[doc = "Borrows the value of shadow field `stats`, if a value is attached. Attaches no value."]
        #[inline]
        fn peek_stats(&self) -> ::core::option::Option<&Stats> where {
            __rt::get_or_attach::peek::<__Declaration, 2, _>(self)
        }
        #[doc = "Borrows the value of shadow field `stats`; attaches the result of `init` first, if no value is attached."]
        #[doc = ""]
        #[doc = "# Panics\n\nIf `init` panics, or requests this field itself."]
        #[doc(alias = "attach_stats")]
        #[doc(alias = "set_stats")]
        #[doc(alias = "update_stats")]
        #[inline]
        #[track_caller]
        fn get_or_attach_stats(&self, init: impl ::core::ops::FnOnce() -> Stats) -> &Stats where {
            __rt::get_or_attach::get_or_attach::<__Declaration, 2, _>(self, init)
        }
        #[doc = "Borrows the value of shadow field `stats`; attaches the value of `init` first, if no value is attached."]
        #[doc = ""]
        #[doc = "# Errors\n\nIf `init` fails: returns the error of `init`, and attaches no value.\n\n# Panics\n\nIf `init` panics, or requests this field itself."]
        #[inline]
        #[track_caller]
        fn get_or_try_attach_stats<E>(
            &self,
            init: impl ::core::ops::FnOnce() -> ::core::result::Result<Stats, E>,
        ) -> ::core::result::Result<&Stats, E> where {
            __rt::get_or_attach::get_or_try_attach::<__Declaration, 2, _, _>(self, init)
        }
        #[doc = "Borrows the value of shadow field `stats` exclusively; attaches the initial value first, if no value is attached."]
        #[doc = ""]
        #[doc = "# Panics\n\nIf the initialiser panics, or requests this field itself."]
        #[inline]
        fn stats_mut(&mut self) -> &mut Stats where {
            let _ = Self::stats(self);
            __rt::get_or_attach::get_mut::<__Declaration, 2, _>(self)
        }
        #[doc = "Detaches and returns the value of shadow field `stats`, if a value is attached."]
        #[doc(alias = "take_stats")]
        #[doc(alias = "remove_stats")]
        #[inline]
        fn detach_stats(&mut self) -> ::core::option::Option<Stats> where {
            __rt::get_or_attach::detach::<__Declaration, 2, _>(self)
        }
        #[doc = "Returns a clone of the newest value of shadow field `last_seen`, if a value is attached."]
        #[doc(alias = "get_last_seen")]
        #[doc(alias = "peek_last_seen")]
        #[inline]
        pub fn last_seen(&self) -> ::core::option::Option<Instant> where {
            __rt::get_or_update::get::<__Declaration, 3, _>(self)
        }
        #[doc = "Replaces the value of shadow field `last_seen` by `value`, and returns the previous value. Attaches `value`, if no value is attached."]
        #[doc = ""]
        #[doc = "# Panics\n\nInside of a closure that computes the next value of this field."]
        #[doc(alias = "set_last_seen")]
        #[doc(alias = "attach_last_seen")]
        #[doc(alias = "get_or_attach_last_seen")]
        #[inline]
        #[track_caller]
        pub fn update_last_seen(&self, value: Instant) -> ::core::option::Option<Instant> where {
            __rt::get_or_update::update::<__Declaration, 3, _>(self, value)
        }
        #[doc = "Replaces the value of shadow field `last_seen` by the result of `next`, and returns the previous value. `next` gets the newest value, or `None` if no value is attached. If another thread updates the field meanwhile, `next` runs again."]
        #[doc = ""]
        #[doc = "# Panics\n\nIf `next` panics, or updates this field itself."]
        #[inline]
        #[track_caller]
        pub fn update_last_seen_with(
            &self,
            next: impl ::core::ops::FnMut(::core::option::Option<&Instant>) -> Instant,
        ) -> ::core::option::Option<Instant> where {
            __rt::get_or_update::update_with::<__Declaration, 3, _>(self, next)
        }
        #[doc = "Replaces the value of shadow field `last_seen` by the result of `next`, unless `next` fails, and returns the previous value. `next` gets the newest value, or `None` if no value is attached. If another thread updates the field meanwhile, `next` runs again."]
        #[doc = ""]
        #[doc = "# Errors\n\nIf `next` fails: returns the error of `next`, and keeps the value.\n\n# Panics\n\nIf `next` panics, or updates this field itself."]
        #[inline]
        #[track_caller]
        pub fn try_update_last_seen_with<E>(
            &self,
            next: impl ::core::ops::FnMut(::core::option::Option<&Instant>) -> ::core::result::Result<Instant, E>,
        ) -> ::core::result::Result<::core::option::Option<Instant>, E> where {
            __rt::get_or_update::try_update_with::<__Declaration, 3, _, _>(self, next)
        }
        #[doc = "Takes the value of shadow field `last_seen`, if a value is attached; no value is attached then. While another thread clones the value, the result is a clone."]
        #[doc = ""]
        #[doc = "# Panics\n\nInside of a closure that computes the next value of this field."]
        #[inline]
        #[track_caller]
        pub fn take_last_seen(&self) -> ::core::option::Option<Instant> where {
            __rt::get_or_update::take::<__Declaration, 3, _>(self)
        }
        #[doc = "Borrows the value of shadow field `last_seen` exclusively, if a value is attached."]
        #[inline]
        pub fn last_seen_mut(&mut self) -> ::core::option::Option<&mut Instant> where {
            __rt::get_or_update::get_mut::<__Declaration, 3, _>(self)
        }
        #[doc = "Detaches and returns the value of shadow field `last_seen`, if a value is attached."]
        #[doc(alias = "remove_last_seen")]
        #[inline]
        pub fn detach_last_seen(&mut self) -> ::core::option::Option<Instant> where {
            __rt::get_or_update::detach::<__Declaration, 3, _>(self)
        }
    }
};

// shadow!

const _: () = {
    use ::shadow_runtime::__private as __rt;
    mod write_attribute_shadow_crate_path {}
    const _: fn() = {
        use __rt::*;
        write_attribute_shadow_crate_path
    };
    struct __Declaration;
    #[repr(C)]
    pub struct __FieldSet_GOA_trace<__V0> {
        trace: __rt::GetOrAttach<__V0>,
    }
    #[automatically_derived]
    unsafe impl<__V0> __rt::FieldSet for __FieldSet_GOA_trace<__V0> {
        unsafe fn init(__place: *mut Self) {
            unsafe { __rt::GetOrAttach::init(&raw mut (*__place).trace) };
        }
        fn fields() -> &'static [__rt::Field] {
            static FIELDS: [__rt::Field; 1usize] = [__rt::Field::new(
                ::core::module_path!(),
                "Task",
                "trace",
                "Vec<String>",
                __rt::Policy::GetOrAttach,
                ::core::option::Option::Some(::core::mem::size_of::<Vec<String>>()),
            )];
            &FIELDS
        }
        fn each(&self, __visit: &mut dyn ::core::ops::FnMut(&dyn __rt::FieldCell)) {
            __visit(&self.trace);
        }
        fn each_mut(&mut self, __visit: &mut dyn ::core::ops::FnMut(&mut dyn __rt::FieldCell)) {
            __visit(&mut self.trace);
        }
    }
    #[automatically_derived]
    impl __rt::Declares<__Declaration> for Task {
        type Set = __FieldSet_GOA_trace<Vec<String>>;
    }
    #[automatically_derived]
    unsafe impl __rt::GetOrAttachField<__Declaration, 0> for Task {
        type Value = Vec<String>;
        #[inline]
        fn cell(__set: &<Self as __rt::Declares<__Declaration>>::Set) -> &__rt::GetOrAttach<Self::Value> {
            &__set.trace
        }
        #[inline]
        fn cell_mut(__set: &mut <Self as __rt::Declares<__Declaration>>::Set) -> &mut __rt::GetOrAttach<Self::Value> {
            &mut __set.trace
        }
    }
    #[allow(clippy::impl_trait_in_params, reason = "it reads better in the docs")]
    impl Task {
        #[doc = " The accessors get this comment."]
        #[doc = ""]
        #[doc = "Borrows the value of shadow field `trace`; attaches the initial value first, if no value is attached."]
        #[doc = ""]
        #[doc = "# Panics\n\nIf the initialiser panics, or requests this field itself."]
        #[doc(alias = "get_trace")]
        #[inline]
        #[track_caller]
        fn trace(&self) -> &Vec<String> where {
            __rt::get_or_attach::get_or_attach::<__Declaration, 0, _>(self, || {
                <Vec<String> as __rt::InitialValue>::initial()
            })
        }
        #[doc = " The accessors get this comment."]
        #[doc = ""]
        #[doc = "Borrows the value of shadow field `trace`, if a value is attached. Attaches no value."]
        #[inline]
        fn peek_trace(&self) -> ::core::option::Option<&Vec<String>> where {
            __rt::get_or_attach::peek::<__Declaration, 0, _>(self)
        }
        #[doc = " The accessors get this comment."]
        #[doc = ""]
        #[doc = "Borrows the value of shadow field `trace`; attaches the result of `init` first, if no value is attached."]
        #[doc = ""]
        #[doc = "# Panics\n\nIf `init` panics, or requests this field itself."]
        #[doc(alias = "attach_trace")]
        #[doc(alias = "set_trace")]
        #[doc(alias = "update_trace")]
        #[inline]
        #[track_caller]
        fn get_or_attach_trace(&self, init: impl ::core::ops::FnOnce() -> Vec<String>) -> &Vec<String> where {
            __rt::get_or_attach::get_or_attach::<__Declaration, 0, _>(self, init)
        }
        #[doc = " The accessors get this comment."]
        #[doc = ""]
        #[doc = "Borrows the value of shadow field `trace`; attaches the value of `init` first, if no value is attached."]
        #[doc = ""]
        #[doc = "# Errors\n\nIf `init` fails: returns the error of `init`, and attaches no value.\n\n# Panics\n\nIf `init` panics, or requests this field itself."]
        #[inline]
        #[track_caller]
        fn get_or_try_attach_trace<E>(
            &self,
            init: impl ::core::ops::FnOnce() -> ::core::result::Result<Vec<String>, E>,
        ) -> ::core::result::Result<&Vec<String>, E> where {
            __rt::get_or_attach::get_or_try_attach::<__Declaration, 0, _, _>(self, init)
        }
        #[doc = " The accessors get this comment."]
        #[doc = ""]
        #[doc = "Borrows the value of shadow field `trace` exclusively; attaches the initial value first, if no value is attached."]
        #[doc = ""]
        #[doc = "# Panics\n\nIf the initialiser panics, or requests this field itself."]
        #[inline]
        fn trace_mut(&mut self) -> &mut Vec<String> where {
            let _ = Self::trace(self);
            __rt::get_or_attach::get_mut::<__Declaration, 0, _>(self)
        }
        #[doc = " The accessors get this comment."]
        #[doc = ""]
        #[doc = "Detaches and returns the value of shadow field `trace`, if a value is attached."]
        #[doc(alias = "take_trace")]
        #[doc(alias = "remove_trace")]
        #[inline]
        fn detach_trace(&mut self) -> ::core::option::Option<Vec<String>> where {
            __rt::get_or_attach::detach::<__Declaration, 0, _>(self)
        }
    }
};
