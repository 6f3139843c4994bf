//! Rule R10: reads take no lock, and wait for no thread. The tests stop threads by signals at arbitrary points.

mod embedded;
mod raw;
