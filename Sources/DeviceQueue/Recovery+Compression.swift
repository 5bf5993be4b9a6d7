import Platform

extension Recovery {
    /// Ends what a crash left of compressing a segment. Where both files are, the plain one wins and the other
    /// is removed, to be made again. The newest segment must be plain, because it is written to: it is made so
    /// when later ones were taken away. Doing it twice does no harm.
    ///
    /// - Throws: `.corrupt` when the newest segment is compressed and damaged.
    static func settleCompression(in directory: String, files: any FileStore) throws(QueueError) {
        let names = try attempt { () throws(FileError) in try files.list(directory) }
        let logs = names.filter { $0.hasSuffix(".log") || $0.hasSuffix(".logz") }
        for (name, next) in zip(logs, logs.dropFirst()) where next == name + "z" {
            try attempt { () throws(FileError) in try files.remove(directory + "/" + next) }
        }
        guard let newest = logs.last, newest.hasSuffix("z"),
            !logs.dropLast().contains(String(newest.dropLast()))
        else { return }
        let path = directory + "/" + newest
        let header = try SegmentHeader.decode(try headerBytes(path, files: files), path: path)
        let segment = Segment(directory: directory, header: header)
        let blocks = BlockCache(byteCountMax: 0)
        guard segment.compressedPath == path, let compressor = SegmentCompressor(files: files, cache: blocks)
        else { return }
        try compressor.restore(segment)
    }
}
