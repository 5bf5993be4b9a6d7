import QueryLanguage
import Testing

@Suite struct QueryCorpusTests {
    @Test("the corpus is there: at least 60 queries accepted and 60 rejected")
    func corpus() {
        #expect(QueryCase.accepted.count >= 60)
        #expect(QueryCase.rejected.count >= 60)
    }

    @Test("a query of the language is accepted", arguments: QueryCase.accepted)
    func accepted(_ query: QueryCase) {
        let errors = checkQuery(text: query.text, referenceInputs: query.referenceInputs)
        #expect(errors.map { $0.render(source: query.text) } == [])
    }

    @Test("the printed tree reads back as the same tree, and prints the same", arguments: QueryCase.accepted)
    func printed(_ query: QueryCase) {
        let document = QueryParser.parse(query.text).document
        let text = QueryPrinter.text(of: document)
        let again = QueryParser.parse(text)
        #expect(again.errors.map { $0.render(source: text) } == [])
        #expect(again.document == document)
        #expect(QueryPrinter.text(of: again.document) == text)
    }

    @Test(
        "a query in error is rejected at the exact place with the exact words", arguments: QueryCase.rejected)
    func rejected(_ query: QueryCase) {
        let errors = checkQuery(text: query.text, referenceInputs: query.referenceInputs)
        #expect(!errors.isEmpty)
        #expect(errors.map(\.summary) == query.expected)
    }
}
