//! The live patch: the missing fields of the vendor's struct, and the handler that uses the fields.
//!
//! In: the vendor's connections, from before the patch and from after the patch. Out: whole lines.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use shadow_runtime::shadow;

use crate::vendor::{Connection, Handler, Line, Original};

/// The line that marks the start of the patch in the stream of every client.
pub(crate) const MARK: &str = "the patch is live";

shadow! {
    /// The fields that the patch adds to each connection.
    pub(crate) trait PatchFields for Arc<Connection> {
        /// The missing lock of the struct. The two feeds race to create the lock, and must get the same lock (case A).
        get_or_attach send_lock: Mutex<()>;

        /// The time of the last line. Only the newest time counts (case B).
        get_or_update last_line: Instant;

        /// The serial number of the connection since the patch. Connections from before the patch have no number.
        attach serial: u32;
    }
}

/// The vendor's handler, wrapped by the fix.
pub(crate) struct Patched;

impl Handler for Patched {
    fn accepted(&self, connection: &Arc<Connection>) {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        Original.accepted(connection);
        // The server calls `accepted` once per connection, so the attach succeeds. After a bug here, the runtime would
        // log a warning, and the first number would stay.
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
