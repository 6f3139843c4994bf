use shadow_runtime::Shadowed;

struct Loud<'a>(&'a str);

impl Drop for Loud<'_> {
    fn drop(&mut self) {
        println!("{}", self.0);
    }
}

fn main() {
    let (text, host);
    text = String::from("text");
    host = Shadowed::new(Loud(&text));
    println!("{}", host.0);
}
