//! `kmh-render`: a stub; the program is [`kmh_render::run`].

fn main() -> std::process::ExitCode {
    kmh_cli::main(kmh_render::run)
}
