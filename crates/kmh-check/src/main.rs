//! `kmh-check`: a stub; the program is [`kmh_check::run`].

fn main() -> std::process::ExitCode {
    kmh_cli::main(kmh_check::run)
}
