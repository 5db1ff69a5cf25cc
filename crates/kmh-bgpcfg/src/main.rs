//! `kmh-bgpcfg`: a stub; the program is [`kmh_bgpcfg::run`].

fn main() -> std::process::ExitCode {
    kmh_cli::main(kmh_bgpcfg::run)
}
