"""What can be set (`schema`), how it is read (`loader`), and what is wrong with it (`problem`)."""
