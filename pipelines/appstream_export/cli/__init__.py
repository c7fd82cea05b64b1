"""The command line `appstream-export`: options, commands, and the views of their results. Nothing imports it."""
