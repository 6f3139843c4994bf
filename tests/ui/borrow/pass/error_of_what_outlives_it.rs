use shadow_runtime::AlreadyAttached;

struct Loud<'a>(&'a str);

impl Drop for Loud<'_> {
    fn drop(&mut self) {
        println!("{}", self.0);
    }
}

fn keep<T>(_: &T) -> Option<AlreadyAttached<T>> {
    None
}

fn main() {
    let (text, error);
    text = String::from("text");
    error = keep(&Loud(&text));
    println!("{}", error.is_none());
}
