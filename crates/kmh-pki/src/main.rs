//! `kmh-pki`: a stub; the program is [`kmh_pki::run`].

fn main() -> std::process::ExitCode {
    kmh_cli::main(kmh_pki::run)
}
