from projects.storage.file_names import names_apart, picture_names


def test_no_two_files_get_one_name():
    files = ['a/1.png', 'b/1.png', 'b/2.png', 'b/2.jpg', 'c.d', 'c.d.png', 'e']
    names = names_apart(files)
    assert names == ['a/1', 'b/1', 'b/2.png', 'b/2.jpg', 'c', 'c.d.png', 'e']
    assert len(set(names)) == len(files)


def test_pictures_are_named_after_their_images_and_after_the_folders_only_where_names_repeat():
    paths = ['data/x/a/1.png', 'data/x/b/1.png', 'data/x/b/2.png', 'data/y/3.jpg', 'data/y/3.png', 'data/y/3.png']
    assert picture_names(paths) == {
        'data/x/a/1.png': 'x/a/1',
        'data/x/b/1.png': 'x/b/1',
        'data/x/b/2.png': '2',
        'data/y/3.jpg': 'y/3.jpg',
        'data/y/3.png': 'y/3.png',
    }
    assert picture_names([]) == {}
