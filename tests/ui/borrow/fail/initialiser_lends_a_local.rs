use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow, Default)]
#[shadow_field(get_or_attach name: &'static str)]
struct Task {
    shadow: ShadowFields,
}

fn main() {
    let task = Task::default();
    let local = String::from("local");
    println!("{}", task.get_or_attach_name(|| &local));
}
