//! Tests under sandboxes that forbid `membarrier(2)`: seccomp filters, each in a child process.
//!
//! Only Linux on `x86_64` and `aarch64` has these tests: the filters name system calls by number.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), not(any(miri, loom))))]

use std::process::{Command, Output};
use std::{env, thread};

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER,
    SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, SYS_membarrier, sock_filter, sock_fprog,
};
use shadow_runtime::{Shadow, ShadowFields};

/// The reaction of a filter to a system call.
#[cfg_attr(not(feature = "membarrier"), expect(dead_code, reason = "one test is left"))]
#[derive(Clone, Copy)]
enum Answer {
    Passes,
    Kills,
    /// The call fails with this error. With 0 the call reports success, and has no effect.
    Says(i32),
}

/// The query command of `membarrier(2)`.
const QUERY: u32 = 0;

impl Answer {
    fn code(self) -> u32 {
        match self {
            Self::Passes => SECCOMP_RET_ALLOW,
            Self::Kills => SECCOMP_RET_KILL_PROCESS,
            Self::Says(error) => SECCOMP_RET_ERRNO | u32::try_from(error).unwrap(),
        }
    }
}

/// Installs a seccomp filter for the current thread and its later children. `membarrier` with the command `command`
/// gets the answer `one`, and with any other command the answer `other`.
fn filter(command: u32, one: Answer, other: Answer) {
    /// The offsets of the call's number and first argument in the data of a filter.
    const NUMBER: u32 = 0;
    const ARGUMENT: u32 = if cfg!(target_endian = "little") { 16 } else { 20 };
    let step = |code: u32, k: u32, jt: u8, jf: u8| sock_filter { code: u16::try_from(code).unwrap(), jt, jf, k };
    let mut steps = [
        step(BPF_LD | BPF_W | BPF_ABS, NUMBER, 0, 0),
        step(BPF_JMP | BPF_JEQ | BPF_K, u32::try_from(SYS_membarrier).unwrap(), 1, 0),
        step(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0),
        step(BPF_LD | BPF_W | BPF_ABS, ARGUMENT, 0, 0),
        step(BPF_JMP | BPF_JEQ | BPF_K, command, 0, 1),
        step(BPF_RET | BPF_K, one.code(), 0, 0),
        step(BPF_RET | BPF_K, other.code(), 0, 0),
    ];
    let program = sock_fprog { len: u16::try_from(steps.len()).unwrap(), filter: steps.as_mut_ptr() };
    // SAFETY: `PR_SET_NO_NEW_PRIVS` takes the arguments 1, 0, 0, 0, and no pointer.
    assert_eq!(unsafe { libc::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
    // SAFETY: `program` and `steps` live until the end of the call, with the stated length, and the kernel copies both.
    let closed = unsafe { libc::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(closed, 0);
}

/// Runs the test `test` again in a child process, which executes `work`. Returns the output of the child to the parent,
/// and `None` in the child.
fn in_a_child(test: &str, work: impl FnOnce()) -> Option<Output> {
    const IS_CHILD: &str = "SHADOW_TEST_IS_CHILD";
    if env::var_os(IS_CHILD).is_some() {
        work();
        return None;
    }
    let program = env::current_exe().unwrap();
    Some(Command::new(program).args(["--exact", test, "--nocapture"]).env(IS_CHILD, "").output().unwrap())
}

/// Asserts that a child completes `work`.
fn works(test: &str, work: impl FnOnce()) {
    if let Some(output) = in_a_child(test, work) {
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{}: {said}", output.status);
    }
}

#[derive(Shadow, Default)]
#[shadow_field(get_or_update text: String)]
struct Task {
    shadow: ShadowFields,
}

/// Reads often enough for each update to need a process-wide barrier.
fn read_and_update() {
    let task = Task::default();
    task.update_text("first".into());
    for round in 0..3 {
        for _ in 0..1000 {
            assert!(task.text().is_some());
        }
        task.update_text(round.to_string());
    }
    // Several threads, so that updates meet concurrent reads.
    thread::scope(|scope| {
        for thread in 0..4_usize {
            let task = &task;
            scope.spawn(move || {
                for round in 0..2000_usize {
                    if round % 300 == thread {
                        assert!(task.update_text(format!("{thread} {round}")).is_some());
                    }
                    assert!(task.text().is_some_and(|text| !text.is_empty()));
                }
            });
        }
    });
}

#[test]
fn without_a_filter_everything_works() {
    works("without_a_filter_everything_works", read_and_update);
}

#[cfg(feature = "membarrier")]
mod with_the_call {
    use std::os::unix::process::ExitStatusExt;

    use libc::{EINVAL, ENOSYS, EPERM};

    use super::*;

    const PRIVATE_EXPEDITED: u32 = 1 << 3;

    /// A sandbox may report success without an execution of the call.
    #[test]
    fn an_answer_of_0_is_not_believed() {
        works("with_the_call::an_answer_of_0_is_not_believed", || {
            // A library that trusts the 0 issues a second command, and is killed.
            filter(QUERY, Answer::Says(0), Answer::Kills);
            read_and_update();
        });
    }

    #[test]
    fn a_refusal_of_the_query_is_believed() {
        works("with_the_call::a_refusal_of_the_query_is_believed", || {
            filter(QUERY, Answer::Says(ENOSYS), Answer::Kills);
            read_and_update();
        });
    }

    #[test]
    fn a_call_that_is_refused_is_done_without() {
        works("with_the_call::a_call_that_is_refused_is_done_without", || {
            filter(QUERY, Answer::Passes, Answer::Says(EPERM));
            read_and_update();
        });
    }

    #[test]
    fn a_sandbox_may_be_closed_later() {
        works("with_the_call::a_sandbox_may_be_closed_later", || {
            read_and_update();
            filter(PRIVATE_EXPEDITED, Answer::Says(EINVAL), Answer::Kills);
            read_and_update();
        });
    }

    /// The documentation promises the kill: such a program leaves out the feature.
    #[test]
    fn a_filter_that_kills_kills_at_the_first_read() {
        let ended = in_a_child("with_the_call::a_filter_that_kills_kills_at_the_first_read", || {
            filter(QUERY, Answer::Kills, Answer::Kills);
            let task = Task::default();
            task.update_text("first".into());
            assert!(task.text().is_some());
        });
        if let Some(output) = ended {
            assert_eq!(output.status.signal(), Some(libc::SIGSYS));
        }
    }
}

#[cfg(not(feature = "membarrier"))]
#[test]
fn without_the_feature_the_call_is_not_made() {
    works("without_the_feature_the_call_is_not_made", || {
        filter(QUERY, Answer::Kills, Answer::Kills);
        read_and_update();
    });
}
