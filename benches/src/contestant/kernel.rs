//! The algorithm of the Linux kernel's shadow variables, written from its description: one hash table of fixed size.
//!
//! In: a host and a value. Out: the value, by the host. The table hashes the address of an object to one of 2^12
//! chains, and never grows. A reader walks a chain without a lock (in the kernel: under RCU), and compares object and
//! id. A writer takes the table's one lock, and pushes a node at the front.
//!
//! # Invariants
//!
//! - **K1** Every pointer of a chain is null, or comes from `Box::into_raw` of a fully initialised node.
//! - **K2** A node in a chain does not change, and is freed only with the table, through `&mut`.
//!
//! *Writer*: makes a node that points to the chain's first node, and stores the new node as the first with `Release`.
//! *Reader*: loads the first node with `Acquire`, and so sees the node fully initialised, and transitively all later
//! nodes. No node is ever removed from a chain, since no row needs a removal; the kernel needs RCU for removals.
//!
//! The kernel searches for the pair before an insertion, once without the lock and once under the lock. Here the caller
//! guarantees that the pair is absent: with a search per attach, the insertion of 10 M hosts would take hours.
#![allow(unsafe_code)]

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::contestant::{Get, Table, address};
use crate::hash::fold;
use crate::hosts::Object;

const CHAIN_BITS: u32 = 12;

/// The id of all values: the benchmark has one field.
const ID: u64 = 1;

/// The table.
#[derive(Debug)]
pub struct Kernel {
    chains: Box<[AtomicPtr<Node>]>,
    writer: Mutex<()>,
}

/// A node of the kernel's size; the kernel's node has a list head of two words and an RCU head of two more.
#[derive(Debug)]
#[repr(C)]
struct Node {
    next: *const Node,
    _previous_and_rcu: [usize; 3],
    object: usize,
    id: u64,
    value: u64,
}

impl Kernel {
    /// The kernel's memory for one value of 8 bytes.
    pub const BYTES_PER_VALUE: usize = size_of::<Node>();

    #[inline]
    fn chain(&self, object: usize) -> &AtomicPtr<Node> {
        let index = (fold(object as u64) >> (u64::BITS - CHAIN_BITS)) as usize;
        &self.chains[index]
    }
}

impl Table for Kernel {
    const NAME: &'static str = "the kernel's algorithm";

    fn empty() -> Self {
        let chains = (0..1 << CHAIN_BITS).map(|_| AtomicPtr::new(ptr::null_mut())).collect();
        Self { chains, writer: Mutex::new(()) }
    }

    fn attach(&self, host: &Arc<Object>, value: u64) {
        let object = address(host);
        let chain = self.chain(object);
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        // Relaxed: the lock orders writers.
        let next = chain.load(Ordering::Relaxed);
        let node = Node { next, _previous_and_rcu: [0; 3], object, id: ID, value };
        // Release: pairs with the Acquire of `find`, which then sees the node fully initialised.
        chain.store(Box::into_raw(Box::new(node)), Ordering::Release);
    }

    #[inline]
    fn read(&self, host: &Arc<Object>) -> Option<u64> {
        self.find(host).map(|node| node.value)
    }
}

impl Get for Kernel {
    #[inline]
    fn get(&self, host: &Arc<Object>) -> usize {
        self.find(host).map_or(0, |node| ptr::from_ref(&node.value).addr())
    }
}

impl Kernel {
    #[inline]
    fn find(&self, host: &Arc<Object>) -> Option<&Node> {
        let object = address(host);
        // Acquire: pairs with the Release of `attach`.
        let mut next = self.chain(object).load(Ordering::Acquire).cast_const();
        // SAFETY: by K1 the pointer is null or points to a node; by K2 the node lives and does not change during the
        // borrow of the table.
        while let Some(node) = unsafe { next.as_ref() } {
            if node.object == object && node.id == ID {
                return Some(node);
            }
            next = node.next;
        }
        None
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        for chain in &mut self.chains {
            let mut next = *chain.get_mut();
            while !next.is_null() {
                // SAFETY: by K1 the pointer comes from `Box::into_raw`. The node is in one chain, once, and `&mut self`
                // excludes all other accesses.
                let node = unsafe { Box::from_raw(next) };
                next = node.next.cast_mut();
            }
        }
    }
}
