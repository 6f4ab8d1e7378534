//! A connection that is opened when it is needed, and again after it was closed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sessile_store::StoreError;
use tokio::{net::TcpStream, sync::Notify, time::timeout};

use crate::{
    connection::Connection,
    meta::{Commands, Reply},
};

/// One connection to the server at a time.
pub(crate) struct Lane {
    address: String,
    timeout: Duration,
    connection: Mutex<Option<Connection>>,
    /// Held while a connection is opened, so that calls open only one.
    opening: tokio::sync::Mutex<()>,
}

impl Lane {
    pub(crate) fn new(address: &str, timeout: Duration) -> Self {
        Self {
            address: address.to_owned(),
            timeout,
            connection: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
        }
    }

    /// Sends commands and waits for their replies. A call that takes too long closes the
    /// connection.
    pub(crate) async fn call(&self, commands: &Commands) -> Result<Vec<Reply>, StoreError> {
        let call = async {
            let connection = self.connection().await?;
            connection.call(commands).await
        };
        timeout(self.timeout, call).await.map_err(|_| too_slow())?
    }

    /// Opens a connection in place of the current one.
    pub(crate) async fn open(&self, lost: Arc<Notify>) -> Result<Connection, StoreError> {
        self.close();
        let connecting = TcpStream::connect(&self.address);
        let socket = timeout(self.timeout, connecting).await;
        let socket = socket.map_err(|_| too_slow())?.map_err(|error| {
            let text = format!("the connection failed ({})", error.kind());
            StoreError::Unreachable(text.into())
        })?;
        // A socket that is broken already is met by the first call.
        let _ = socket.set_nodelay(true);
        let connection = Connection::start(socket, lost);
        *self.slot() = Some(connection.clone());
        Ok(connection)
    }

    /// Returns the time that a call may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Returns the connection, if there is one.
    pub(crate) fn current(&self) -> Option<Connection> {
        self.slot()
            .clone()
            .filter(|connection| !connection.is_closed())
    }

    /// Closes the connection, if there is one.
    pub(crate) fn close(&self) {
        if let Some(connection) = self.slot().take() {
            connection.close();
        }
    }

    async fn connection(&self) -> Result<Connection, StoreError> {
        if let Some(connection) = self.current() {
            return Ok(connection);
        }
        let _opening = self.opening.lock().await;
        match self.current() {
            Some(connection) => Ok(connection),
            None => self.open(Arc::default()).await,
        }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Connection>> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_slow() -> StoreError {
    StoreError::Unreachable("the server did not answer in time".into())
}
