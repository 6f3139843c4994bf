//! The rules R1 to R11 of `docs/RULES.md`, if their tests may share a process. `docs/RULES.md` names all test files.

mod r03_once;
mod r03_updates;
mod r04_no_lock_over_user_code;
mod r05_returned;
mod r08_stable_addresses;
mod r09_clones;
mod r09_derives;
mod r11_nothing_silent;
