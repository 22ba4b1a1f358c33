//! `kapelle version`.

/// The version of this build.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Prints the version of the command and, if one can be reached, that of the cluster.
pub(crate) async fn print(connection: &cli::Connection) -> anyhow::Result<()> {
    cli::outln!("Client Version: v{VERSION}")?;
    match cli::server_version(connection).await {
        Ok(version) => cli::outln!("Server Version: {version}")?,
        Err(error) => cli::outln!("Server Version: unknown ({error:#})")?,
    }
    Ok(())
}
