use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow, Default)]
#[shadow_field(get_or_attach word: &'static str = self.name.as_str())]
struct Task {
    name: String,
    shadow: ShadowFields,
}

fn main() {
    println!("{}", Task::default().word());
}
