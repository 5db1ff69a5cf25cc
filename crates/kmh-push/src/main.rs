//! `kmh-push`: a stub; the program is [`kmh_push::run`].

fn main() -> std::process::ExitCode {
    kmh_cli::main(kmh_push::run)
}
