//! `p2pchat-registryd init`: all that a registry starts from.

use std::{
    fmt, io,
    path::{self, PathBuf},
};

use p2pchat_core::tokio::Fingerprint;

use crate::{
    certificate::{self, Pem},
    config::{Args, Certificate, Config, template},
    daemon::Error,
    files,
};

/// What there is now. `Display` says it, and what to do next.
#[derive(Debug)]
pub(crate) struct Made {
    config: Config,
    file: PathBuf,
    /// There was a certificate.
    kept: bool,
    fingerprint: Fingerprint,
}

/// Checks the settings, and makes what is missing.
pub(crate) fn run(args: &Args) -> Result<Made, Error> {
    let mut settings = args.settings.clone();
    let config = Config::check(&Args { config: None, settings: settings.clone() })?;
    // The file may be used from elsewhere.
    settings.data_dir = Some(config.data_dir.clone());
    for path in [&mut settings.data_dir, &mut settings.admin_socket, &mut settings.cert, &mut settings.key]
        .into_iter()
        .flatten()
    {
        *path = path::absolute(&*path)?;
        if path.to_str().is_none() {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "a path in the file has to be Unicode");
            return Err(Error::Init { path: path.clone(), source });
        }
    }
    let config = Config::new(settings.clone())?;
    let file = args.config.clone().unwrap_or_else(|| config.data_dir.join(files::CONFIG));
    let file = path::absolute(file)?;
    let failed = |source| Error::Init { path: file.clone(), source };
    if file.symlink_metadata().is_ok() {
        return Err(failed(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "it is there already, and stays as it is",
        )));
    }

    let data_folder = |source| Error::DataFolder { path: config.data_dir.clone(), source };
    files::private_folder(&config.data_dir).map_err(data_folder)?;
    let kept = match &config.certificate {
        Certificate::Own => certificate::own_paths(&config.data_dir).0.exists(),
        Certificate::Files { .. } => true,
    };
    let fingerprint = Pem::load(&config)?.tls(Default::default())?.fingerprint();
    // Last: with it, all else is there.
    files::write_new(&file, template(&settings).as_bytes()).map_err(failed)?;
    Ok(Made { config, file, kept, fingerprint })
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cert, key) = match &self.config.certificate {
            Certificate::Own => certificate::own_paths(&self.config.data_dir),
            Certificate::Files { cert, key } => (cert.clone(), key.clone()),
        };
        let file = self.file.display();
        writeln!(f, "settings     {file}")?;
        writeln!(f, "data folder  {}", self.config.data_dir.display())?;
        let kept = if self.kept { " (were there already)" } else { "" };
        writeln!(f, "certificate  {}, {}{kept}", cert.display(), key.display())?;
        writeln!(f, "fingerprint  {}", self.fingerprint)?;
        writeln!(f)?;
        writeln!(f, "Next:")?;
        writeln!(f, "  read {file}, and change what you like")?;
        writeln!(f, "  p2pchat-registryd check-config --config {file}")?;
        writeln!(f, "  p2pchat-registryd --config {file}")?;
        write!(f, "  tell people the fingerprint, by which their clients know the registry")
    }
}
