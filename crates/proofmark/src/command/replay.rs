//! stub
#[derive(clap::Args, Debug)]
pub struct Args {}
pub fn run(_: &Args, _: super::Global) -> crate::failure::Outcome<std::process::ExitCode> { Ok(std::process::ExitCode::SUCCESS) }
