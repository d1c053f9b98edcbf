"""Own pictures: the content of a folder, by its table or by its subfolders. Nothing here needs the host."""
