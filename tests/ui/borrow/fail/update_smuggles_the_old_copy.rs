use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow, Default)]
#[shadow_field(get_or_update(copy) number: u64)]
struct Task {
    shadow: ShadowFields,
}

fn main() {
    let (task, mut kept) = (Task::default(), None);
    task.update_number_with(|old| {
        kept = old;
        1
    });
    println!("{kept:?}");
}
