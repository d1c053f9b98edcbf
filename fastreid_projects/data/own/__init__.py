"""Own pictures: what lies in a folder, by its table or by its folders; nothing here needs the host."""
