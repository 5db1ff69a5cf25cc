//! `kmh-lab`: a stub; the program is [`kmh_lab::run`].

fn main() -> std::process::ExitCode {
    kmh_cli::main(kmh_lab::run)
}
