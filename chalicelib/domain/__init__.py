"""The words of the product, without I/O."""
