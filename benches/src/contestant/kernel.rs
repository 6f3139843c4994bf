//! The kernel's algorithm, written from its description: Linux keeps its shadow variables in one fixed table.
//!
//! The address of the object is hashed into 2^12 chains that never become more. Readers walk a chain without a lock
//! (the kernel: under RCU) and compare object and id; writers take one lock for the whole table and add at the front.
//!
//! # Invariants
//!
//! - **K1** Every pointer of a chain is null or comes from `Box::into_raw` of a node that is whole.
//! - **K2** A node does not change once it is in a chain, and is freed only with the table, that is by `&mut`.
//!
//! *Writer*: makes a node that points to the first one, then stores it as the first with `Release`. *Reader*: loads
//! the first with `Acquire`, and so sees the node as it was made, and by the same argument all after it. Nothing is
//! ever taken out of a chain here, since no row needs it; that is where the kernel needs RCU.
//!
//! The kernel looks for the pair before it adds one, once without the lock and once under it. Here the caller knows
//! that it is not there: with a look per attach, filling a table of 10 M hosts would take hours.
#![allow(unsafe_code)]

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::contestant::{Table, address};
use crate::hash::fold;
use crate::hosts::Object;

const CHAIN_BITS: u32 = 12;

/// The id under which values are attached: there is one field.
const ID: u64 = 1;

/// The table.
#[derive(Debug)]
pub struct Kernel {
    chains: Box<[AtomicPtr<Node>]>,
    writer: Mutex<()>,
}

/// As large as the kernel's, which has a list head of two words and an RCU head of two more.
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
    /// What the kernel spends on one value of 8 bytes.
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
        // Release: whoever sees the node sees it whole.
        chain.store(Box::into_raw(Box::new(node)), Ordering::Release);
    }

    #[inline]
    fn read(&self, host: &Arc<Object>) -> Option<u64> {
        let object = address(host);
        // Acquire: pairs with the Release of `attach`.
        let mut next = self.chain(object).load(Ordering::Acquire).cast_const();
        // SAFETY: by K1 it is null or a node, which by K2 lives and does not change while the table is borrowed.
        while let Some(node) = unsafe { next.as_ref() } {
            if node.object == object && node.id == ID {
                return Some(node.value);
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
                // SAFETY: by K1 it comes from `Box::into_raw`; it is in one chain, once, and nobody else is there.
                let node = unsafe { Box::from_raw(next) };
                next = node.next.cast_mut();
            }
        }
    }
}
