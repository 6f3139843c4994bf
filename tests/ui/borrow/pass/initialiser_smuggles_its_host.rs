use std::sync::Mutex;

use shadow_runtime::{Shadow, ShadowFields};

static NAMES: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());

#[derive(Shadow, Default)]
#[shadow_field(get_or_attach number: usize = note(self.name.clone().leak()))]
struct Task {
    name: String,
    shadow: ShadowFields,
}

fn note(name: &'static str) -> usize {
    let mut names = NAMES.lock().unwrap();
    names.push(name);
    names.len()
}

fn main() {
    assert_eq!(Task::default().number(), &1);
}
