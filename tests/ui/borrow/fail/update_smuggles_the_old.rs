use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow, Default)]
#[shadow_field(get_or_update name: String)]
struct Task {
    shadow: ShadowFields,
}

fn main() {
    let (task, mut kept) = (Task::default(), None);
    task.update_name_with(|old| {
        kept = old;
        String::new()
    });
    println!("{kept:?}");
}
