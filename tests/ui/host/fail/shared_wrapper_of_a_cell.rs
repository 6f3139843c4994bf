use std::thread;

use shadow_runtime::Shadowed;

fn main() {
    let host = Shadowed::new(std::cell::OnceCell::<u8>::new());
    thread::scope(|scope| {
        scope.spawn(|| println!("{:?}", host.get()));
    });
}
