//! The live patch: what the vendor's struct lacks, and the handler that uses it.
//!
//! In: the vendor's connections, those that were there before the patch and those that come after it. Out: whole lines.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use shadow_runtime::shadow;

use crate::vendor::{Connection, Handler, Line, Original};

/// The line that tells every client that the patch holds from here on.
pub(crate) const MARK: &str = "the patch is live";

shadow! {
    /// What the patch adds to each connection.
    pub(crate) trait PatchFields for Arc<Connection> {
        /// The lock that the struct lacks. Both feeds have to find the same one, whoever asks first (case A).
        get_or_attach send_lock: Mutex<()>;

        /// When the last line was sent. Only the newest counts (case B).
        get_or_update last_line: Instant;

        /// Counts the connections that the patch has seen being accepted. Those from before it have none.
        attach serial: u32;
    }
}

/// The vendor's handler, with the fix around it.
pub(crate) struct Patched;

impl Handler for Patched {
    fn accepted(&self, connection: &Arc<Connection>) {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        Original.accepted(connection);
        // Once per connection, so it cannot be refused; if it is, the runtime warns, and the first number stays.
        let _ = connection.attach_serial(NEXT.fetch_add(1, Ordering::Relaxed));
    }

    fn send(&self, connection: &Arc<Connection>, line: &Line<'_>) -> io::Result<()> {
        let turn = connection.send_lock().lock().unwrap_or_else(PoisonError::into_inner);
        Original.send(connection, line)?;
        drop(turn);
        connection.update_last_line(Instant::now());
        Ok(())
    }
}
