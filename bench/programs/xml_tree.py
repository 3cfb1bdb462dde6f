# SPDX-License-Identifier: MIT
"""ElementTree: built, written, parsed, searched, changed."""
import xml.etree.ElementTree as ElementTree

REPEAT = 2


def run():
    root = ElementTree.Element("library")
    for i in range(1500):
        book = ElementTree.SubElement(root, "book", {"id": str(i), "lang": "en" if i % 2 else "de"})
        ElementTree.SubElement(book, "title").text = "Title no. %d" % i
        for j in range(3):
            ElementTree.SubElement(book, "author").text = "Author %d" % (i * j % 100)
    for _ in range(4):
        text = ElementTree.tostring(root)
        root = ElementTree.fromstring(text)
        assert len(root.findall("./book[@lang='de']/author")) == 2250
        for book in root.iter("book"):
            book.set("seen", book.findtext("title").lower())
        for _, element in ElementTree.iterparse(_Reader(text)):
            element.clear()


class _Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def read(self, size=-1):
        size = 16384
        self.at += size
        return self.data[self.at - size:self.at]
